//! A small cluster with one policy that tests choose: `shop/web` and `shop/db` on one node, `shop/far` on another.

use std::net::IpAddr;

use nft_backend::config::Config;
use nft_backend::nft::Nft;
use nft_backend::render::render;
use nft_backend::ruleset::Ruleset;
use nopal_lab::{Lab, Topology};
use policy_core::testing::Objects;
use policy_core::{Cluster, RuleGraph};

use super::ip;
use super::wire::{nft, topology};

pub(crate) const NODE: &str = "node-a";
pub(crate) const NODE_ADDRESSES: [&str; 2] = ["192.168.0.1", "fd00:192::1"];
pub(crate) const WEB: [&str; 2] = ["10.0.1.10", "fd00:10:0:1::10"];
pub(crate) const DB: [&str; 2] = ["10.0.1.11", "fd00:10:0:1::11"];
pub(crate) const FAR: [&str; 2] = ["10.0.2.10", "fd00:10:0:2::10"];

pub(crate) const OBJECTS: &str = r#"
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
{kind: Pod, metadata: {namespace: shop, name: far, labels: {app: far}}, spec: {nodeName: node-b, containers: []},
  status: {podIPs: [{ip: 10.0.2.10}, {ip: "fd00:10:0:2::10"}]}}
"#;

/// The three pods, and a policy for `db` with this spec besides its `podSelector`.
pub(crate) fn cluster(spec: &str) -> Cluster {
    cluster_in_mode("enforce", spec)
}

fn cluster_in_mode(mode: &str, spec: &str) -> Cluster {
    let policy = format!(
        "{OBJECTS}---\n{{kind: NetworkPolicy, \
         metadata: {{namespace: shop, name: db, annotations: {{nopal.dev/mode: {mode}}}}}, \
         spec: {{podSelector: {{matchLabels: {{app: db}}}}, {spec}}}}}\n"
    );
    Objects::from_yaml(&policy).unwrap().cluster()
}

/// The rules of `node-a` under that policy.
pub(crate) fn rules(spec: &str, config: &Config) -> Ruleset {
    rules_in_mode("enforce", spec, config)
}

/// The same with the policy in a mode.
pub(crate) fn rules_in_mode(mode: &str, spec: &str, config: &Config) -> Ruleset {
    let graph = RuleGraph::compile(&cluster_in_mode(mode, spec));
    render(&graph, NODE, config).unwrap()
}

fn machines() -> Topology {
    let cluster = cluster("");
    topology(&cluster, &RuleGraph::compile(&cluster), &[])
}

/// The pods on their nodes, without rules, and the tables of `node-a`.
///
/// # Panics
/// When that fails, with the reason: kernel tests need root, `ip` and `nft`, and never skip.
pub(crate) fn build(prefix: &str) -> (Lab, Nft) {
    let lab = Lab::build(&machines(), prefix).unwrap_or_else(|error| panic!("no lab: {error}"));
    let kernel = nft(&lab, NODE);
    (lab, kernel)
}

/// The addresses of two ends in each family.
pub(crate) fn in_each_family(from: [&str; 2], to: [&str; 2]) -> [(IpAddr, IpAddr); 2] {
    [0, 1].map(|family| (ip(from[family]), ip(to[family])))
}
