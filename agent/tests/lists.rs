//! How the watches list, against an API server made of canned answers: as a stream where it can, else page by page.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use nopal_agent::kind::Kind;
use nopal_agent::status::Shared;
use nopal_agent::watch::{self, Batch};
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, channel};
use tower::service_fn;

/// What an API server can do.
#[derive(Debug, Clone, Copy)]
enum Server {
    /// It lists as a stream.
    Streams,
    /// It refuses the parameter.
    Refuses,
    /// It begins a stream and then says that it cannot, as one with an old etcd does.
    BreaksOff,
}

fn pod(version: &str) -> Value {
    json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": version}})
}

fn status(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": "No", "code": code})
}

fn lines(events: &[Value]) -> String {
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    lines.join("\n") + "\n"
}

async fn answer(server: Server, request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().to_string();
    let has_pods = path.contains("/pods");
    let all_nodes = path.contains("/nodes") && !path.contains("metadata.name%3Dnode-a");
    let has_any = has_pods || all_nodes;
    let pods = |version| if has_any { vec![pod(version)] } else { vec![] };
    let respond = |code: u16, text: String| {
        Ok(Response::builder()
            .status(code)
            .body(Body::from(text.into_bytes()))
            .unwrap())
    };
    if path.contains("sendInitialEvents=true") {
        let end = json!({"type": "BOOKMARK", "object": {"kind": "X", "apiVersion": "v1", "metadata": {
            "resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}}});
        let broken = json!({"type": "ERROR", "object": status(500)});
        let added = |object| json!({"type": "ADDED", "object": object});
        let mut events: Vec<Value> = pods("7").into_iter().map(added).collect();
        match server {
            Server::Refuses => return respond(422, status(422).to_string()),
            Server::Streams => events.push(end),
            Server::BreaksOff => events.push(broken),
        }
        return respond(200, lines(&events));
    }
    if path.contains("watch=true") {
        return pending().await;
    }
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "8"}, "items": pods("8")});
    respond(200, list.to_string())
}

/// The first complete view of each kind.
async fn views(server: Server) -> BTreeMap<Kind, Batch> {
    let service = service_fn(move |request: Request<Body>| answer(server, request));
    let client = Client::new(service, "default");
    let (sender, mut queue): (_, Receiver<Batch>) = channel(100);
    let mut tasks = watch::start(&client, &sender, &Shared::new("node-a"));
    let mut views = BTreeMap::new();
    while views.len() < Kind::ALL.len() {
        let batch = queue.recv().await.unwrap();
        assert!(batch.is_complete, "{batch:?}");
        views.insert(batch.kind, batch);
    }
    tasks.shutdown().await;
    views
}

#[tokio::test]
async fn a_streaming_list_ends_with_its_bookmark() {
    let views = views(Server::Streams).await;
    assert_eq!(views[&Kind::Pods].changes.len(), 1);
    assert_eq!(views[&Kind::Pods].changes[0].version, 7);
    assert!(views[&Kind::Policies].changes.is_empty());
    let nodes = &views[&Kind::Nodes].changes;
    assert!(nodes.is_empty(), "others' nodes are asked for: {nodes:?}");
}

#[tokio::test]
async fn a_server_that_cannot_stream_is_asked_for_pages() {
    for server in [Server::Refuses, Server::BreaksOff] {
        let views = views(server).await;
        assert_eq!(views[&Kind::Pods].changes.len(), 1, "{server:?}");
        assert_eq!(views[&Kind::Pods].changes[0].version, 8, "{server:?}");
        assert!(views[&Kind::Nodes].changes.is_empty(), "{server:?}");
    }
}
