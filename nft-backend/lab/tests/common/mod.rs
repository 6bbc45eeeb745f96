//! The lab that the tests look at: two nodes, four pods, one machine outside, both families.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses a part of it"
)]
#![allow(clippy::unwrap_used, reason = "it is part of the tests")]

use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use nopal_lab::{Lab, NodeSpec, PodSpec, Probe, ProbeKind, Seen, Topology};

pub const NODE_A: [&str; 2] = ["192.168.0.1", "fd00:192::1"];
pub const NODE_B: [&str; 2] = ["192.168.0.2", "fd00:192::2"];
pub const WEB: [&str; 2] = ["10.0.1.2", "fd00:10:0:1::2"];
pub const API: [&str; 2] = ["10.0.1.3", "fd00:10:0:1::3"];
pub const DB: [&str; 2] = ["10.0.2.2", "fd00:10:0:2::2"];
pub const CACHE: [&str; 2] = ["10.0.2.3", "fd00:10:0:2::3"];
pub const WORLD: [&str; 2] = ["198.51.100.7", "2001:db8::7"];
pub const EVERYBODY: [[&str; 2]; 7] = [NODE_A, NODE_B, WEB, API, DB, CACHE, WORLD];

/// `web` and `api` run on node-a, `db` and `cache` on node-b.
pub fn topology() -> Topology {
    let node = |name: &str, addresses: [&str; 2]| NodeSpec {
        name: name.to_owned(),
        addresses: addresses.map(address).to_vec(),
    };
    let pod = |name: &str, node: &str, addresses: [&str; 2]| PodSpec {
        name: format!("shop/{name}"),
        node: node.to_owned(),
        addresses: addresses.map(address).to_vec(),
    };
    Topology {
        nodes: vec![node("node-a", NODE_A), node("node-b", NODE_B)],
        pods: vec![
            pod("web", "node-a", WEB),
            pod("api", "node-a", API),
            pod("db", "node-b", DB),
            pod("cache", "node-b", CACHE),
        ],
        externals: WORLD.map(address).to_vec(),
    }
}

pub fn build(prefix: &str) -> Lab {
    build_from(&topology(), prefix)
}

/// # Panics
/// When there is no lab to be had, with the reason: these tests need root and iproute2.
pub fn build_from(topology: &Topology, prefix: &str) -> Lab {
    Lab::build(topology, prefix).unwrap_or_else(|error| panic!("no lab: {error} ({error:?})"))
}

pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn probe(from: &str, to: &str, kind: ProbeKind) -> Probe {
    Probe {
        from: address(from),
        to: address(to),
        kind,
    }
}

/// The probes that did not get through.
pub fn blocked(lab: &Lab, probes: &[Probe]) -> Vec<Probe> {
    let seen = lab.probe(probes, &AtomicBool::new(false)).unwrap();
    assert_eq!(seen.len(), probes.len());
    let pairs = probes.iter().zip(seen);
    pairs
        .filter(|(_, seen)| *seen == Seen::Blocked)
        .map(|(probe, _)| *probe)
        .collect()
}

/// Loads a chain with these rules at the forward hook of one node.
pub fn filter_forwarding(lab: &Lab, node: &str, rules: &str) {
    let base = "type filter hook forward priority 0;";
    nft(
        lab,
        node,
        &format!("table inet lab_test {{ chain forward {{ {base} {rules} }}; }}"),
    );
}

/// Runs nft commands in the namespace of one node.
pub fn nft(lab: &Lab, node: &str, rules: &str) {
    let namespace = lab.node_namespace(node).unwrap();
    let run = || Command::new("nft").arg(rules).stdin(Stdio::null()).output();
    let output = namespace.run(run).unwrap().expect("these tests need nft");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The namespaces of this machine whose name begins so.
pub fn namespaces(prefix: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/run/netns") else {
        return vec![];
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(prefix)).collect()
}
