//! The API server, asked by many requests at once.

use std::path::Path;

use futures::{StreamExt, TryStreamExt, stream};
use http::{Method, Request};
use kube::Client;
use serde_json::Value;

use crate::Failure;
use crate::objects::{self, Size};

/// Requests that are on their way at the same time.
const AT_ONCE: usize = 32;

/// The kinds that an agent watches.
const WATCHED: [&str; 4] = ["namespaces", "networkpolicies", "nodes", "pods"];

/// A client that may do everything. Clones share it.
#[derive(Clone)]
pub(crate) struct Api(Client);

impl Api {
    /// The one of this kubeconfig.
    pub(crate) async fn new(kubeconfig: &Path) -> Result<Self, Failure> {
        Ok(Self(nopal_agent::client::client(Some(kubeconfig)).await?))
    }

    /// Makes the whole cluster.
    pub(crate) async fn create(&self, size: Size) -> Result<(), Failure> {
        for stage in objects::all(size) {
            stream::iter(stage)
                .map(|(path, object)| self.create_one(path, object))
                .buffer_unordered(AT_ONCE)
                .try_for_each(|_| async { Ok(()) })
                .await?;
        }
        Ok(())
    }

    /// Makes one object, with its status if it has one; gives it as it was made.
    pub(crate) async fn create_one(&self, path: String, object: Value) -> Result<Value, Failure> {
        let made = self
            .send(Method::POST, &path, "application/json", &object)
            .await?;
        if object["status"].is_object() {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let status = serde_json::json!({ "status": object["status"] });
            self.patch(&format!("{path}/{name}/status"), &status)
                .await?;
        }
        Ok(serde_json::from_str(&made)?)
    }

    /// Changes the object at this path.
    pub(crate) async fn patch(&self, path: &str, change: &Value) -> Result<(), Failure> {
        let merge = "application/merge-patch+json";
        self.send(Method::PATCH, path, merge, change).await?;
        Ok(())
    }

    /// How many watches of the kinds that an agent follows are open, those of the API server's own parts included.
    pub(crate) async fn watches(&self) -> Result<u64, Failure> {
        let is_watch = |line: &str| {
            line.starts_with("apiserver_longrunning_requests{")
                && line.contains("verb=\"WATCH\"")
                && WATCHED
                    .iter()
                    .any(|kind| line.contains(&format!("resource=\"{kind}\"")))
        };
        self.sum(is_watch).await
    }

    /// How many requests for the kinds that an agent follows have been answered that read something. A watch counts
    /// when it ends.
    pub(crate) async fn read_requests(&self) -> Result<u64, Failure> {
        let is_of = |line: &str, label: &str, values: &[&str]| {
            let mut values = values.iter();
            values.any(|value| line.contains(&format!("{label}=\"{value}\"")))
        };
        let is_read = |line: &str| {
            line.starts_with("apiserver_request_total{")
                && is_of(line, "verb", &["GET", "LIST", "WATCH"])
                && is_of(line, "resource", &WATCHED)
        };
        self.sum(is_read).await
    }

    /// How many Events were posted.
    pub(crate) async fn posted_events(&self) -> Result<u64, Failure> {
        let is_event = |line: &str| {
            line.starts_with("apiserver_request_total{")
                && line.contains("verb=\"POST\"")
                && line.contains("resource=\"events\"")
        };
        self.sum(is_event).await
    }

    async fn sum(&self, is_counted: impl Fn(&str) -> bool) -> Result<u64, Failure> {
        let request = Request::get("/metrics").body(Vec::new())?;
        let text = self.0.request_text(request).await?;
        let values = text.lines().filter(|line| is_counted(line));
        let values = values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Ok(values.sum())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content: &str,
        body: &Value,
    ) -> Result<String, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content)
            .body(body.to_string().into_bytes())?;
        let answer = self.0.request_text(request).await;
        Ok(answer.map_err(|error| format!("{path}: {error}"))?)
    }
}
