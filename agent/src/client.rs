//! The client for the API server.

use std::path::Path;

use anyhow::Context;
use http::{Request, Uri};
use kube::Client;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tower::util::MapRequestLayer;

/// What kube adds to a streaming list: any view will do, also an old one.
const ANY_VIEW: &str = "resourceVersion=0";

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
    let builder = ClientBuilder::try_from(config).context("cannot make a client")?;
    Ok(builder
        .with_layer(&MapRequestLayer::new(consistent))
        .build())
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
