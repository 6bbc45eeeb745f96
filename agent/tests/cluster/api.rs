//! A client of the API server that stays connected: for tests that ask it for hundreds of things. Others use kubectl.

use std::path::Path;

use http::Request;
use kube::Client;
use nopal_lab::Namespace;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

/// A connection from one network namespace.
pub(crate) struct Api {
    runtime: Runtime,
    client: Client,
}

impl Api {
    /// Asks from `namespace`, as the user of this kubeconfig.
    pub(crate) fn new(namespace: &Namespace, kubeconfig: &Path) -> Self {
        let connect = || {
            // Its thread begins here, so it stays in the namespace.
            let mut runtime = Builder::new_multi_thread();
            let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
            let client = runtime.block_on(nopal_agent::client::client(Some(kubeconfig)));
            let client = client.unwrap();
            Self { runtime, client }
        };
        namespace.run(connect).unwrap()
    }

    /// Creates an object or changes it to this, with its status; gives what it is then.
    pub(crate) fn apply(&self, object: &Value) -> Value {
        let place = place(object);
        let query = "fieldManager=test&force=true";
        let kind = "application/apply-patch+yaml";
        let answer = self.ask("PATCH", &format!("{place}?{query}"), kind, object);
        if !object["status"].is_object() {
            return answer;
        }
        let status = json!({"status": object["status"]});
        let kind = "application/merge-patch+json";
        self.ask("PATCH", &format!("{place}/status"), kind, &status)
    }

    /// Deletes an object at once.
    pub(crate) fn delete(&self, object: &Value) {
        let place = place(object);
        let options = json!({"gracePeriodSeconds": 0});
        self.ask("DELETE", &place, "application/json", &options);
        if object["kind"] == "Namespace" {
            // Nobody else is here to say that it is empty.
            let mut ended = object.clone();
            ended["spec"] = json!({"finalizers": []});
            self.ask(
                "PUT",
                &format!("{place}/finalize"),
                "application/json",
                &ended,
            );
        }
    }

    fn ask(&self, method: &str, place: &str, kind: &str, body: &Value) -> Value {
        let request = Request::builder()
            .method(method)
            .uri(place)
            .header("content-type", kind);
        let request = request.body(body.to_string().into_bytes()).unwrap();
        let client = self.client.clone();
        let asked = self
            .runtime
            .spawn(async move { client.request_text(request).await });
        let answer = self.runtime.block_on(asked).unwrap();
        let answer = answer.unwrap_or_else(|error| panic!("{method} {place}: {error}"));
        serde_json::from_str(&answer).unwrap()
    }
}

fn place(object: &Value) -> String {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap();
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    match object["kind"].as_str().unwrap() {
        "Namespace" => format!("/api/v1/namespaces/{name}"),
        "Pod" => format!("/api/v1/namespaces/{namespace}/pods/{name}"),
        "NetworkPolicy" => {
            format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/{name}")
        }
        other => panic!("no test asks for a {other} in this way"),
    }
}

/// An object's resourceVersion.
pub(crate) fn version(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str().unwrap();
    version.parse().unwrap()
}
