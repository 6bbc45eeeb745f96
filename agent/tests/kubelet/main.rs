//! The whole way as in production: a real kubelet has a real containerd run the agent from its image, as its manifest says,
//! and start pods, whose conflist the agent has put its plugin into; and the way off again. Ignored by default:
//! `make test-cluster-kubelet`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod node;
mod shipped;

use std::fs;

use node::{FIRST, Node, eventually};
use serde_json::{Value, json};

const ON: &str = include_str!("../../../deploy/manifests/nopal.yaml");
const OFF: &str = include_str!("../../../deploy/manifests/off.yaml");

const PORT: &str = "8080";

/// How many addresses are tried: of all pods of the test, and of more.
const TRIED: &str = "8";

/// `NET_ADMIN` (12) and CHOWN (0), as the kernel shows sets of capabilities.
const CAPABILITIES: &str = "0000000000001001";

fn pod(name: &str, arguments: &[&str]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {
            "nodeName": node::NAME, "enableServiceLinks": false,
            // With 0 the API forgets a pod before its node does, and nobody can tell then whom policies mean.
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "main", "image": nopal_harness::SANDBOX, "imagePullPolicy": "Never", "args": arguments,
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
fn the_manifest_puts_the_agent_on_a_node_whose_pods_it_protects_and_takes_it_off_again() {
    let node = Node::start("kubelet-daemon", "ptp");
    node.roll_out(ON);
    the_agent_has_what_the_manifest_gives_it(&node);
    pods_meet_their_policies_from_their_first_instant(&node);
    an_agent_that_dies_or_is_replaced_opens_nothing(&node);
    deleted_policies_let_the_stranger_in(&node);
    the_other_manifest_takes_everything_away(&node);
}

#[test]
#[ignore = "starts a real kubelet and containerd: `make test-cluster-kubelet`"]
fn the_agent_switches_a_bridge_between_pods_that_would_pass_packets_to_no_rule() {
    let node = Node::start("kubelet-bridge", "bridge");
    node.roll_out(ON);
    pods_meet_their_policies_from_their_first_instant(&node);
    deleted_policies_let_the_stranger_in(&node);
}

/// It is ready under its security context, has put the plugin in place, and knows how pods are wired.
fn the_agent_has_what_the_manifest_gives_it(node: &Node) {
    let agent = node.agent_task();
    let status = agent.file("status").unwrap();
    for (field, value) in [
        ("CapEff", CAPABILITIES),
        ("CapBnd", CAPABILITIES),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        let line = format!("{field}:\t{value}\n");
        assert!(status.contains(&line), "{line} in\n{status}");
    }
    let mounts = agent.file("mountinfo").unwrap();
    let root = mounts
        .lines()
        .find(|line| line.split(' ').nth(4) == Some("/"));
    let options = root.and_then(|line| line.split(' ').nth(5)).unwrap();
    assert!(options.split(',').any(|option| option == "ro"), "{mounts}");

    assert!(conflist(node).contains("nopal-cni"), "{}", node.log());
    let installed = fs::read(node.path("/opt/cni/bin/nopal-cni")).unwrap();
    assert!(
        installed == fs::read(shipped::program("nopal-cni")).unwrap(),
        "the plugin is the one of the image"
    );
    assert_eq!(node.tables(), ["nopal"]);
}

fn pods_meet_their_policies_from_their_first_instant(node: &Node) {
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
    the_friend_gets_in_and_the_stranger_does_not(node);
    let is_placed = || node.agent_status()["unenforceable"] == json!([]);
    assert!(eventually(is_placed), "{:#}", node.agent_status());
    let said = node.agent_said();
    assert!(
        !said.contains("\"level\":\"ERROR\"") && !said.contains("\"level\":\"WARN\""),
        "{said}"
    );
}

fn an_agent_that_dies_or_is_replaced_opens_nothing(node: &Node) {
    node.agent_task().kill().unwrap();
    let is_back = || {
        let status = &node.agent()["status"]["containerStatuses"][0];
        status["restartCount"] == 1 && status["ready"] == true
    };
    assert!(eventually(is_back), "{}", node.log());
    the_friend_gets_in_and_the_stranger_does_not(node);

    let before = node.agent();
    node.kubectl(
        &["-n", "kube-system", "rollout", "restart", "ds/nopal-agent"],
        "",
    );
    node.await_rollout();
    assert_ne!(node.agent()["metadata"]["uid"], before["metadata"]["uid"]);
    the_friend_gets_in_and_the_stranger_does_not(node);

    // A pod of the same name has another address, for which the new agent has the rules.
    node.delete("pod", "server");
    node.apply(&pod("server", &["serve", PORT]));
    the_friend_gets_in_and_the_stranger_does_not(node);
}

fn deleted_policies_let_the_stranger_in(node: &Node) {
    for name in ["deny", "server"] {
        node.delete("networkpolicy", name);
    }
    let reaches = || node.said("stranger").contains("reached ");
    assert!(
        eventually(reaches),
        "nothing denies it any more\n{}",
        node.log()
    );
}

fn the_other_manifest_takes_everything_away(node: &Node) {
    node.apply(&policy("deny", &json!({"podSelector": {}})));
    let told = node.said("friend").matches("reached ").count();
    node.roll_out(OFF);
    assert!(node.tables().is_empty(), "{:?}", node.tables());
    assert!(!conflist(node).contains("nopal"), "{}", conflist(node));
    assert!(!node.path("/opt/cni/bin/nopal-cni").exists());
    let state = fs::read_dir(node.path("/var/lib/nopal")).unwrap();
    let left: Vec<_> = state.map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
    let reaches = || node.said("friend").matches("reached ").count() > told + 20;
    assert!(eventually(reaches), "no policy is in force\n{}", node.log());
    // Pods come and go without an agent.
    for name in ["server", "friend", "stranger"] {
        node.delete("pod", name);
    }
    node.apply(&pod("late", &["try", FIRST, TRIED, PORT]));
    let tries = || node.said("late").contains("tried ");
    assert!(eventually(tries), "{}", node.log());
    node.kubectl(&["delete", "-f", "-", "--timeout=120s"], ON);
}

/// From now on: the friend reaches the server, and the stranger has tried often and reached nobody, ever.
fn the_friend_gets_in_and_the_stranger_does_not(node: &Node) {
    let told = node.said("friend").matches("reached ").count();
    let reaches = || node.said("friend").matches("reached ").count() > told;
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
}

/// What the runtime reads.
fn conflist(node: &Node) -> String {
    fs::read_to_string(node.path("/etc/cni/net.d/10-lab.conflist")).unwrap()
}
