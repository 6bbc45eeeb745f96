//! Ports that are worth trying: where the policies' answers may change.

use std::collections::BTreeSet;

use policy_core::policy::{PortSpec, Ports, Rule};
use policy_core::{Cluster, Direction, FlowPort, Protocol};

/// A port that nobody mentions, unless somebody does: then the next one.
const UNMENTIONED: u16 = 4999;

/// TCP and every protocol that pods or policies mention, each with the ports that are mentioned for it, the neighbours
/// of every range, one port that is only mentioned for other protocols, and one that nobody mentions; and
/// [`FlowPort::Other`]. Sorted.
pub(super) fn ports(cluster: &Cluster) -> Vec<FlowPort> {
    let mut tried = BTreeSet::new();
    let mut protocols = BTreeSet::from([Protocol::Tcp]);
    for pod in cluster.pods().values() {
        tried.extend(pod.ports.iter().map(|port| (port.protocol, port.port)));
    }
    for spec in specs(cluster) {
        match spec {
            PortSpec::Range(protocol, first, last) => {
                protocols.insert(*protocol);
                let edges = [first.checked_sub(1), Some(*first), Some(*last)];
                let edges = edges.into_iter().chain([last.checked_add(1)]);
                tried.extend(edges.flatten().map(|port| (*protocol, port)));
            }
            PortSpec::Named(protocol, _) => {
                protocols.insert(*protocol);
            }
        }
    }
    tried.retain(|(_, port)| *port > 0);
    protocols.extend(tried.iter().map(|(protocol, _)| *protocol));
    let numbers: BTreeSet<u16> = tried.iter().map(|(_, port)| *port).collect();
    let unmentioned = (UNMENTIONED..=u16::MAX).find(|port| !numbers.contains(port));
    for protocol in protocols {
        let foreign = numbers
            .iter()
            .find(|port| !tried.contains(&(protocol, **port)));
        let more = foreign.copied().into_iter().chain(unmentioned);
        tried.extend(more.map(|port| (protocol, port)));
    }
    let ports = tried
        .into_iter()
        .map(|(protocol, port)| FlowPort::Port(protocol, port));
    ports.chain([FlowPort::Other]).collect()
}

fn specs(cluster: &Cluster) -> impl Iterator<Item = &PortSpec> {
    let rules = cluster.policies().values().flat_map(|policy| {
        Direction::ALL
            .into_iter()
            .flat_map(|direction| policy.rules(direction))
    });
    let lists = rules.filter_map(|rule| match rule {
        Rule::Allow {
            ports: Ports::Listed(specs),
            ..
        } => Some(specs),
        _ => None,
    });
    lists.flatten()
}
