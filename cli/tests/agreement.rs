//! `nopal test` agrees with the naive evaluator on 10,000 random flows of 100 random clusters.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what it did not expect"
)]

use std::net::IpAddr;
use std::process::Command;

use policy_core::testing::{Objects, Size, random_cluster, random_flows};
use policy_core::{Cluster, Flow, FlowPort};
use serde_json::{Value, json};

const CLUSTERS: u64 = 100;
const FLOWS: usize = 100;

#[test]
fn the_command_agrees_with_the_naive_evaluator_on_random_flows() {
    let mut compared = 0;
    for seed in 1..=CLUSTERS {
        let size = if seed % 10 == 0 {
            Size::MEDIUM
        } else {
            Size::SMALL
        };
        let objects = random_cluster(seed, size);
        let flows = flows_with_ports(&objects, seed);
        let reference = objects.reference();
        for (flow, actual) in flows.iter().zip(answers(&objects, &flows)) {
            let expected = reference.evaluate(flow).to_string();
            assert_eq!(actual, expected, "seed {seed}: {flow}");
            compared += 1;
        }
    }
    assert_eq!(compared, 10_000);
}

/// The first flows of the seed that a `ConnectivityTest` can ask for: those with a port above 0.
fn flows_with_ports(objects: &Objects, seed: u64) -> Vec<Flow> {
    let drawn = random_flows(objects, seed, 3 * FLOWS).into_iter();
    let flows: Vec<Flow> = drawn
        .filter(|flow| matches!(flow.port, FlowPort::Port(_, 1..)))
        .take(FLOWS)
        .collect();
    assert_eq!(
        flows.len(),
        FLOWS,
        "seed {seed} gives too few flows with a port"
    );
    flows
}

/// What the command says of each flow.
fn answers(objects: &Objects, flows: &[Flow]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let manifests = folder.path().join("cluster.json");
    std::fs::write(&manifests, objects.to_json_list()).unwrap();
    let tests = folder.path().join("tests.json");
    std::fs::write(&tests, questions(&objects.cluster(), flows).to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_nopal"))
        .arg("test")
        .arg(&manifests)
        .arg("--tests")
        .arg(&tests)
        .args(["--format", "json"])
        .output()
        .unwrap();
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    let tests = printed["tests"].as_array().unwrap();
    assert_eq!(
        tests.len(),
        flows.len(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    tests
        .iter()
        .map(|test| test["actual"].as_str().unwrap().to_owned())
        .collect()
}

fn questions(cluster: &Cluster, flows: &[Flow]) -> Value {
    let tests: Vec<Value> = flows
        .iter()
        .map(|flow| {
            let FlowPort::Port(protocol, port) = flow.port else {
                unreachable!("filtered")
            };
            json!({
                "from": end(cluster, flow.from),
                "to": end(cluster, flow.to),
                "port": port,
                "protocol": protocol.to_string(),
                "family": if flow.from.is_ipv4() { "IPv4" } else { "IPv6" },
                "expect": "allow",
            })
        })
        .collect();
    json!({
        "apiVersion": "nopal.dev/v1alpha1",
        "kind": "ConnectivityTest",
        "metadata": { "name": "random" },
        "tests": tests,
    })
}

/// A pod by its name where the address is the pod's alone and its first of the family; otherwise the address.
fn end(cluster: &Cluster, address: IpAddr) -> Value {
    let holders: Vec<_> = cluster
        .pods()
        .values()
        .filter(|pod| pod.addresses.contains(&address))
        .collect();
    if let [pod] = holders.as_slice() {
        let of_family = |held: &&IpAddr| held.is_ipv4() == address.is_ipv4();
        if pod.is_selectable() && pod.addresses.iter().find(of_family) == Some(&address) {
            return json!({ "pod": pod.id.to_string() });
        }
    }
    json!({ "ip": address.to_string() })
}
