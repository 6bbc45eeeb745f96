//! The whole way as in production: a real kubelet has a real containerd start pods, whose conflist has the plugin in it, and
//! the agent holds them to their policies. Ignored by default: `make test-cluster-kubelet`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod node;

use node::{FIRST, Node, eventually};
use serde_json::{Value, json};

const PORT: &str = "8080";

/// How many addresses are tried: of all pods of the test, and of more.
const TRIED: &str = "8";

fn pod(name: &str, arguments: &[&str]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {
            "nodeName": node::NAME, "terminationGracePeriodSeconds": 0, "enableServiceLinks": false,
            "automountServiceAccountToken": false,
            // Nobody takes away the taint that a new node has.
            "tolerations": [{"operator": "Exists"}],
            "containers": [{
                "name": "main", "image": nopal_harness::IMAGE, "imagePullPolicy": "Never", "args": arguments,
            }],
        },
    })
}

fn policy(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    })
}

#[test]
#[ignore = "starts a real kubelet and containerd: `make test-cluster-kubelet`"]
fn pods_of_a_real_kubelet_are_held_to_their_policies_from_their_first_instant() {
    let node = Node::start("kubelet-first");
    node.apply(&policy("deny", &json!({"podSelector": {}})));
    let from_friend = json!({
        "podSelector": {"matchLabels": {"app": "server"}},
        "ingress": [{
            "from": [{"podSelector": {"matchLabels": {"app": "friend"}}}],
            "ports": [{"port": 8080}],
        }],
    });
    node.apply(&policy("server", &from_friend));
    // Both knock at every address before anybody has it.
    for name in ["friend", "stranger"] {
        node.apply(&pod(name, &["try", FIRST, TRIED, PORT]));
        let tries = || node.said(name).contains("tried ");
        assert!(eventually(tries), "{name} does not run\n{}", node.log());
    }
    node.apply(&pod("server", &["serve", PORT]));
    let reaches = || node.said("friend").contains("reached ");
    assert!(
        eventually(reaches),
        "the friend is kept out\n{}",
        node.log()
    );
    let told = node.said("stranger").len();
    let goes_on = || node.said("stranger").len() > told + 500;
    assert!(eventually(goes_on), "the stranger has stopped");
    let said = node.said("stranger");
    assert!(!said.contains("reached "), "the stranger came in\n{said}");

    // It is the policies that keep the stranger out.
    for name in ["deny", "server"] {
        node.delete("networkpolicy", name);
    }
    let reaches = || node.said("stranger").contains("reached ");
    assert!(
        eventually(reaches),
        "nothing denies it any more\n{}",
        node.log()
    );

    // DEL lets pods go.
    for name in ["server", "friend", "stranger"] {
        node.delete("pod", name);
    }
}
