//! The client for the API server.
//!
//! Its connections are of our own making, since a connection may die without a word: a firewall forgets it, or a machine
//! is gone and nobody resets what it had. The kernel asks the other end by keepalives, and gives up what stays without
//! an answer; then the watch begins anew. What answers to the kernel and yet not to a request, such as a server that
//! stands still, is given up after `ANSWER`.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use http::{Request, Uri};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Client;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tower::retry::RetryLayer;
use tower::util::MapRequestLayer;
use tower::{BoxError, ServiceBuilder};

use crate::watch::LONGEST_WATCH;

/// What kube adds to a streaming list: any view will do, also an old one.
const ANY_VIEW: &str = "resourceVersion=0";

/// How long a connection may be without a packet before the other end is asked.
const QUIET: Duration = Duration::from_secs(15);

/// The pause between two such questions.
const AGAIN: Duration = Duration::from_secs(5);

/// A connection whose other end does not acknowledge anything for so long is dead: questions and whatever was sent.
const SILENCE: Duration = Duration::from_secs(30);

/// How long it may take to connect.
const CONNECT: Duration = Duration::from_secs(10);

/// How long an answer may take, and how long a watch may say nothing. The API server ends each watch before that.
const ANSWER: Duration = LONGEST_WATCH.saturating_add(Duration::from_secs(10));

/// A client by this kubeconfig, or by the service account of the pod that this runs in. It connects when it is used.
pub async fn client(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("cannot read the kubeconfig {}", path.display()))?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("cannot use the kubeconfig {}", path.display()))?
        }
        None => kube::Config::incluster()
            .context("not in a pod with a service account; give --kubeconfig FILE")?,
    };
    build(config).context("cannot make a client")
}

/// As kube puts one together, with connections that notice when they are dead.
fn build(config: kube::Config) -> anyhow::Result<Client> {
    let connector = config.rustls_https_connector_with_connector(connections())?;
    let mut connector = TimeoutConnector::new(connector);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_read_timeout(Some(ANSWER));
    // A connection that waited to be used again has its whole time for the next answer.
    connector.set_reset_reader_on_write(true);
    connector.set_write_timeout(Some(ANSWER));
    let plain: legacy::Client<_, Body> =
        legacy::Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(MapRequestLayer::new(consistent))
        .layer(config.base_uri_layer())
        .layer(RetryLayer::new(RetryPolicy::server_retry()))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(plain);
    Ok(Client::new(service, config.default_namespace))
}

/// Makes connections that are asked for signs of life.
fn connections() -> HttpConnector {
    let mut connections = HttpConnector::new();
    // TLS is laid over them.
    connections.enforce_http(false);
    connections.set_keepalive(Some(QUIET));
    connections.set_keepalive_interval(Some(AGAIN));
    connections.set_tcp_user_timeout(Some(SILENCE));
    connections
}

/// Asks for the newest view in a streaming list. kube asks for any, and an API server that lags behind its fellows
/// would answer with the past: policies that are in force here would be gone until it catches up. Without a version
/// the API server begins once it has caught up with the moment of the request (`WatchList` of the API concepts).
fn consistent<B>(mut request: Request<B>) -> Request<B> {
    if let Some(uri) = newest_view(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn newest_view(uri: &Uri) -> Option<Uri> {
    let query = uri.query()?;
    if !query
        .split('&')
        .any(|pair| pair == "sendInitialEvents=true")
    {
        return None;
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| *pair != ANY_VIEW).collect();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{}?{}", uri.path(), kept.join("&")).parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streaming_list_asks_for_the_newest_view_and_everything_else_stays() {
        let uri = "https://h:6443/api/v1/pods?watch=true&sendInitialEvents=true\
            &resourceVersionMatch=NotOlderThan&resourceVersion=0";
        let expected = "https://h:6443/api/v1/pods?watch=true&sendInitialEvents=true\
            &resourceVersionMatch=NotOlderThan";
        let newest = newest_view(&uri.parse().unwrap());
        assert_eq!(newest.map(|uri| uri.to_string()).as_deref(), Some(expected));
        for other in ["/api/v1/pods", "/api/v1/pods?watch=true&resourceVersion=0"] {
            assert_eq!(newest_view(&other.parse().unwrap()), None, "{other}");
        }
    }
}
