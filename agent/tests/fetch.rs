//! A pod that the runtime starts before any watch has shown it is asked for once, by name.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::convert::Infallible;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use nopal_agent::cni::desk::Desk;
use nopal_agent::cni::leases::Leases;
use nopal_agent::status::Shared;
use nopal_cni::protocol::{Attachment, Order, PodRef, Reply, Sandbox};
use policy_core::Event;
use serde_json::{Value, json};
use tokio::sync::mpsc::channel;
use tower::service_fn;

/// An API server that knows this pod, or has an answer of another code.
fn server(code: u16, pod: Value) -> Client {
    let service = service_fn(move |request: Request<Body>| {
        let path = request.uri().to_string();
        let body = pod.to_string().into_bytes();
        async move {
            assert_eq!(path, "/api/v1/namespaces/shop/pods/web");
            let response = Response::builder().status(code).body(Body::from(body));
            Ok::<_, Infallible>(response.unwrap())
        }
    });
    Client::new(service, "default")
}

fn pod(uid: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop", "uid": uid, "resourceVersion": "7", "labels": {"app": "web"}},
        "spec": {"nodeName": node, "containers": []},
    })
}

fn attach() -> Order {
    Order::Attach(Attachment {
        sandbox: Sandbox {
            container_id: "c1".to_owned(),
            interface: "eth0".to_owned(),
        },
        pod: PodRef {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            uid: Some("u".to_owned()),
        },
        netns: "/nowhere/to/be/seen".to_owned(),
        host_interface: None,
        addresses: vec!["10.0.0.1".parse().unwrap()],
    })
}

#[tokio::test]
async fn the_pod_goes_to_the_engine_with_its_labels_and_its_address() {
    let state = tempfile::tempdir().unwrap();
    let (sender, mut queue) = channel(10);
    let shared = Shared::new("node-a");
    let client = server(200, pod("u", "node-a"));
    let leases = Leases::new(state.path());
    let desk = Desk::new("node-a", leases, sender, Some(client), shared.clone());
    let answer = tokio::spawn(async move { desk.serve(attach()).await });
    let batch = queue.recv().await.unwrap();
    let Some(Event::Pod(pod)) = &batch.changes[0].event else {
        panic!("{batch:?}");
    };
    assert_eq!(pod.labels.value("app"), Some("web"));
    assert_eq!(
        pod.addresses,
        ["10.0.0.1".parse::<std::net::IpAddr>().unwrap()]
    );
    shared.ticket_in_force(batch.ticket);
    assert_eq!(answer.await.unwrap(), Reply::Done);
}

#[tokio::test]
async fn a_pod_of_another_uid_or_node_or_that_is_not_there_has_to_try_again() {
    let missing = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404});
    let broken = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "X", "code": 500});
    for (client, reason) in [
        (server(200, pod("other", "node-a")), "another one"),
        (server(200, pod("u", "node-b")), "--node"),
        (server(404, missing), "knows no pod"),
        (server(500, broken), "failed"),
    ] {
        let state = tempfile::tempdir().unwrap();
        let (sender, _queue) = channel(10);
        let leases = Leases::new(state.path());
        let desk = Desk::new(
            "node-a",
            leases,
            sender,
            Some(client),
            Shared::new("node-a"),
        );
        let answer = desk.serve(attach()).await;
        assert!(
            matches!(&answer, Reply::TryAgain(told) if told.contains(reason)),
            "{answer:?}"
        );
    }
}
