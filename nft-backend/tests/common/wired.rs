//! Labs of every wiring: two nodes, five pods, policies at both ends, and what is in force there.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use nft_backend::config::Config;
use nft_backend::render::render;
use nft_backend::topology::{LocalPod, NodeNetwork, Report};
use nopal_lab::{Lab, Namespace, Topology, Wiring};
use policy_core::testing::Objects;
use policy_core::{Flow, RuleGraph};

use super::places::{live_pods, node_of};
use super::wire::{nft, put_in_force, topology};

pub(crate) const NODES: [&str; 2] = ["node-a", "node-b"];
pub(crate) const NODE_A: [&str; 2] = ["192.168.0.1", "fd00:192::1"];
pub(crate) const NODE_B: [&str; 2] = ["192.168.0.2", "fd00:192::2"];
pub(crate) const WEB: [&str; 2] = ["10.0.1.10", "fd00:10:0:1::10"];
pub(crate) const DB: [&str; 2] = ["10.0.1.11", "fd00:10:0:1::11"];
pub(crate) const API: [&str; 2] = ["10.0.1.12", "fd00:10:0:1::12"];
pub(crate) const FAR: [&str; 2] = ["10.0.2.10", "fd00:10:0:2::10"];
pub(crate) const CACHE: [&str; 2] = ["10.0.2.11", "fd00:10:0:2::11"];
pub(crate) const WORLD: [&str; 2] = ["198.51.100.7", "2001:db8::7"];
pub(crate) const EVERYBODY: [[&str; 2]; 8] = [NODE_A, NODE_B, WEB, DB, API, FAR, CACHE, WORLD];

/// `web`, `db`, `api` on node-a, `far`, `cache` on node-b.
const MACHINES: &str = r#"
{kind: Node, metadata: {name: node-a}, status: {addresses: [
  {type: InternalIP, address: 192.168.0.1}, {type: InternalIP, address: "fd00:192::1"}]}}
---
{kind: Node, metadata: {name: node-b}, status: {addresses: [
  {type: InternalIP, address: 192.168.0.2}, {type: InternalIP, address: "fd00:192::2"}]}}
---
{kind: Pod, metadata: {namespace: shop, name: web, labels: {app: web}}, spec: {nodeName: node-a, containers: []},
  status: {podIPs: [{ip: 10.0.1.10}, {ip: "fd00:10:0:1::10"}]}}
---
{kind: Pod, metadata: {namespace: shop, name: db, labels: {app: db}}, spec: {nodeName: node-a, containers: []},
  status: {podIPs: [{ip: 10.0.1.11}, {ip: "fd00:10:0:1::11"}]}}
---
{kind: Pod, metadata: {namespace: shop, name: api, labels: {app: api}}, spec: {nodeName: node-a, containers: []},
  status: {podIPs: [{ip: 10.0.1.12}, {ip: "fd00:10:0:1::12"}]}}
---
{kind: Pod, metadata: {namespace: shop, name: far, labels: {app: far}}, spec: {nodeName: node-b, containers: []},
  status: {podIPs: [{ip: 10.0.2.10}, {ip: "fd00:10:0:2::10"}]}}
---
{kind: Pod, metadata: {namespace: shop, name: cache, labels: {app: cache}}, spec: {nodeName: node-b, containers: []},
  status: {podIPs: [{ip: 10.0.2.11}, {ip: "fd00:10:0:2::11"}]}}
"#;

/// The machines, and policies that are given as YAML documents.
pub(crate) fn objects(policies: &str) -> Objects {
    Objects::from_yaml(&format!("{MACHINES}{policies}")).unwrap()
}

/// The machines, wired in this way, and one address of the world in each family; nothing in force.
///
/// # Panics
/// When that fails, with the reason: kernel tests need root, `ip`, `nft` and the CNI plugins, and never skip.
pub(crate) fn build(wiring: Wiring, prefix: &str) -> Lab {
    Lab::build_wired(&machines(), wiring, prefix).unwrap_or_else(|error| panic!("no lab: {error}"))
}

/// The machines alone, not wired yet.
pub(crate) fn machines() -> Topology {
    let cluster = objects("").cluster();
    let mut machines = topology(&cluster, &RuleGraph::compile(&cluster), &[] as &[Flow]);
    machines.externals = WORLD.map(super::ip).to_vec();
    machines
}

/// Puts the rules in force on both nodes, and has bridges call netfilter where that is needed.
pub(crate) fn enforce(lab: &Lab, objects: &Objects) {
    put_rules_in_force(lab, objects);
    for node in NODES {
        for bridge in report(lab, node).bridges_to_switch() {
            network(lab, node).ensure_bridge_netfilter(&bridge).unwrap();
        }
        let report = report(lab, node);
        assert!(report.is_enforced(), "{report}");
    }
}

/// Puts the rules in force, and nothing else.
pub(crate) fn put_rules_in_force(lab: &Lab, objects: &Objects) {
    let graph = RuleGraph::compile(&objects.cluster());
    let config = Config::default();
    for node in NODES {
        let ruleset = render(&graph, node, &config).unwrap();
        put_in_force(&mut nft(lab, node), &ruleset, &config);
    }
}

pub(crate) fn network(lab: &Lab, node: &str) -> NodeNetwork {
    NodeNetwork::in_namespace(lab.node_namespace(node).unwrap().path())
}

/// How the packets of a node's pods go, as their own interfaces tell.
pub(crate) fn report(lab: &Lab, node: &str) -> Report {
    network(lab, node).detect(&pods(lab, node, true)).unwrap()
}

/// The same as the node's routes tell.
pub(crate) fn report_by_route(lab: &Lab, node: &str) -> Report {
    network(lab, node).detect(&pods(lab, node, false)).unwrap()
}

fn pods(lab: &Lab, node: &str, with_namespace: bool) -> Vec<LocalPod> {
    let cluster = objects("").cluster();
    let local = live_pods(&cluster).filter(|pod| node_of(pod) == node);
    let local: BTreeMap<String, LocalPod> = local
        .map(|pod| {
            let name = pod.id.to_string();
            let namespace = lab.pod_namespace(&name).unwrap().path();
            let pod = LocalPod {
                name: name.clone(),
                addresses: pod.addresses.clone(),
                namespace: with_namespace.then_some(namespace),
            };
            (name, pod)
        })
        .collect();
    local.into_values().collect()
}

/// Runs a program in the namespace of a node.
pub(crate) fn on_node(lab: &Lab, node: &str, command: &[&str]) -> String {
    run(lab.node_namespace(node).unwrap(), command, "")
}

/// Runs a program in a namespace with this input, and gives what it printed.
pub(crate) fn run(namespace: &Namespace, command: &[&str], input: &str) -> String {
    let (program, arguments) = command.split_first().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), input).unwrap();
    let run = || {
        let input = std::fs::File::open(file.path()).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::from(input)).output()
    };
    let output = namespace
        .run(run)
        .unwrap()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}
