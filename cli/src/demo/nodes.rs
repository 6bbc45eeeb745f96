//! Which nodes take part, and with which addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use nopal_lab::{NodeSpec, is_routable};
use policy_core::Cluster;

use super::LeftOut;

/// Up to so many nodes take part even if none of their pods does.
const MOST_IDLE_NODES: usize = 8;

/// The nodes, sorted by name. `taken` are pods' addresses, `busy` the nodes that take part in any case.
pub(super) fn nodes(
    cluster: &Cluster,
    taken: &BTreeSet<IpAddr>,
    busy: &BTreeSet<&str>,
    left_out: &mut Vec<LeftOut>,
) -> Vec<NodeSpec> {
    let claims = node_addresses(cluster);
    let mut owners: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for address in claims.values().flatten() {
        *owners.entry(*address).or_default() += 1;
    }
    let idle = claims
        .keys()
        .filter(|name| !busy.contains(name.as_ref()))
        .take(MOST_IDLE_NODES);
    let idle: BTreeSet<&str> = idle.map(AsRef::as_ref).collect();
    let mut nodes = Vec::new();
    let mut too_many = 0;
    for (name, addresses) in &claims {
        if !busy.contains(name.as_ref()) && !idle.contains(name.as_ref()) {
            too_many += 1;
            continue;
        }
        let mut usable = Vec::new();
        for address in addresses {
            let why = if taken.contains(address) {
                "is a pod's as well"
            } else if owners.get(address) != Some(&1) {
                "is another node's as well"
            } else if is_routable(*address) {
                usable.push(*address);
                continue;
            } else {
                "cannot be routed"
            };
            left_out.push(LeftOut {
                what: format!("an address of node {name}"),
                why: format!("{address} {why}"),
            });
        }
        nodes.push(NodeSpec {
            name: name.to_string(),
            addresses: usable,
        });
    }
    if too_many > 0 {
        left_out.push(LeftOut {
            what: format!("{too_many} nodes"),
            why: "no pod of theirs takes part".to_owned(),
        });
    }
    nodes
}

/// Each node's addresses, from wherever the rule graph takes them: Nodes, what pods say of their host, and pods on
/// their node's network.
fn node_addresses(cluster: &Cluster) -> BTreeMap<Arc<str>, BTreeSet<IpAddr>> {
    let mut found: BTreeMap<Arc<str>, BTreeSet<IpAddr>> = BTreeMap::new();
    for node in cluster.nodes().values() {
        let addresses = found.entry(node.name.clone()).or_default();
        addresses.extend(&node.addresses);
    }
    for pod in cluster.pods().values() {
        if let Some(node) = &pod.node {
            let addresses = found.entry(node.clone()).or_default();
            addresses.extend(&pod.host_addresses);
            if pod.host_network {
                addresses.extend(&pod.addresses);
            }
        }
    }
    found
}
