//! What lies under `deploy/`, on a real API server: it takes every object, and the agents' account may do what agents do
//! and nothing else. The agents of all tests here have that account.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::objects::policy;
use crate::runtime::{Call, ours};

const ON: &str = include_str!("../../../deploy/manifests/nopal.yaml");
const OFF: &str = include_str!("../../../deploy/manifests/off.yaml");

/// What the level `baseline` of Pod Security has against the agent.
const BEYOND_BASELINE: [&str; 4] = [
    "non-default capabilities",
    "host namespaces (hostNetwork=true",
    "hostPath volumes",
    "probe",
];

/// A right: API group, resource, verb.
type Right = (String, String, String);

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

/// All rights of a role, one by one.
fn rights(role: &Value) -> BTreeSet<Right> {
    let words = |value: &Value| -> Vec<String> {
        let words = value.as_array().unwrap().iter();
        words
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    };
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                for verb in words(&rule["verbs"]) {
                    rights.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    rights
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn agents_use_every_right_that_they_have_and_ask_for_no_other() {
    let mut cluster = Cluster::start("agent-rights");
    let _agents = cluster.start_agents();
    cluster.apply(policy("shop", "deny", &json!({"podSelector": {}})));
    cluster.agrees("by the account of deploy/");

    // What makes an Event.
    let wrong = json!({
        "podSelector": {"matchLabels": {"app": "db"}},
        "ingress": [{"from": [{"ipBlock": {"cidr": "198.51.100.9/28"}}]}],
    });
    cluster.store_unchecked(policy("shop", "wrong", &wrong));
    cluster.has_events("shop", &["spec.ingress[0].from[0].ipBlock.cidr"]);
    // A pod that no watch has shown is asked for.
    let mut config = ours(&cluster.cni_socket("node-a"));
    config["prevResult"] = json!({"cniVersion": "1.0.0", "ips": [{"address": "10.0.1.99/32"}]});
    let unknown = Call::new("ADD", "nobody", &config).run();
    assert_eq!(unknown.code(), 11, "{unknown:?}");
    assert!(unknown.text.contains("knows no pod"), "{unknown:?}");

    let asked = cluster.control_plane.asked_by_agents().unwrap();
    let refused: Vec<_> = asked.keys().filter(|asked| !asked.is_allowed).collect();
    assert!(refused.is_empty(), "{refused:?}");
    let used: BTreeSet<Right> = asked
        .into_keys()
        .map(|asked| (asked.group, asked.resource, asked.verb))
        .collect();
    let documents = documents(ON);
    let role = documents.iter().find(|one| one["kind"] == "ClusterRole");
    let mut given = rights(role.unwrap());
    // Where the API server can list as a stream, no agent lists otherwise; each must be able to all the same.
    if !cluster.log("node-a").contains("listing page by page") {
        given.retain(|(_, _, verb)| verb != "list");
    }
    assert_eq!(used, given);
}

#[test]
#[ignore = "starts a real API server: `make test-cluster`"]
fn the_manifests_are_what_a_real_api_server_takes() {
    let cluster = Cluster::start("agent-deploy");
    let kubectl = |arguments: &[&str], input: &str| cluster.control_plane.kubectl(arguments, input);
    for manifest in [ON, OFF] {
        let applied = kubectl(&["apply", "--validate=strict", "-f", "-"], manifest);
        applied.unwrap_or_else(|error| panic!("{error}"));
    }
    for (name, level) in [("free", "privileged"), ("guarded", "baseline")] {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": level}},
        });
        let made = kubectl(&["apply", "-f", "-"], &namespace.to_string());
        made.unwrap_or_else(|error| panic!("{error}"));
    }
    for pod in [ON, OFF].map(pod) {
        // An API server that makes it says so; of system-node-critical it knows the value.
        let create = |namespace: &str| {
            let arguments = [
                "create",
                "--dry-run=server",
                "-n",
                namespace,
                "-o",
                "json",
                "-f",
                "-",
            ];
            kubectl(&arguments, &pod.to_string())
        };
        for namespace in ["kube-system", "free"] {
            let made = create(namespace).unwrap_or_else(|error| panic!("{error}"));
            let made: Value = serde_json::from_str(&made).unwrap();
            assert_eq!(made["spec"]["priority"], 2_000_001_000);
        }
        let refused = create("guarded").unwrap_err().to_string();
        let (_, reasons) = refused.split_once("violates PodSecurity").unwrap();
        let reasons: Vec<&str> = reasons.split("), ").collect();
        for reason in &reasons {
            let is_known = BEYOND_BASELINE.iter().any(|known| reason.contains(known));
            assert!(is_known, "{reason}");
        }
    }
}

/// A pod as the `DaemonSet` of a manifest makes one.
fn pod(manifest: &str) -> Value {
    let documents = documents(manifest);
    let set = documents.iter().find(|one| one["kind"] == "DaemonSet");
    let template = &set.unwrap()["spec"]["template"];
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "nopal-agent-x", "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
    })
}
