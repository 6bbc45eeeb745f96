//! A case's cluster as a lab of network namespaces, with every node's rules in force.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use nft_backend::config::Config;
use nft_backend::kernel::Kernel;
use nft_backend::load::{StandingFlows, load};
use nft_backend::nft::Nft;
use nft_backend::render::render;
use nft_backend::ruleset::Ruleset;
use nopal_lab::{Lab, NodeSpec, PodSpec, Probe, ProbeKind, Seen, Topology, patient};
use policy_core::{Cluster, Flow, FlowPort, Protocol, RuleGraph};

use super::places::{Places, live_pods, node_of, nodes};

/// The cluster's machines, and the ends of `flows` that are outside.
///
/// A wire has one end, so an address that several live pods claim is wired to the first of them. The other claimants
/// keep their other addresses.
pub(crate) fn topology(cluster: &Cluster, graph: &RuleGraph, flows: &[Flow]) -> Topology {
    let places = Places::new(cluster, graph);
    let mut wired = BTreeSet::new();
    let contested: BTreeSet<IpAddr> = graph.contested().map(|(address, _)| address).collect();
    let node = |name: String| NodeSpec {
        addresses: places.on_node(&name),
        name,
    };
    let nodes: Vec<NodeSpec> = nodes(cluster).into_iter().map(node).collect();
    wired.extend(nodes.iter().flat_map(|node| node.addresses.clone()));
    let mut pods = Vec::new();
    for pod in live_pods(cluster) {
        let own = graph.addresses(pod);
        let claimed = pod.addresses.iter().filter(|a| contested.contains(a));
        let addresses: Vec<IpAddr> = own
            .into_iter()
            .chain(claimed.copied())
            .filter(|address| wired.insert(*address))
            .collect();
        if !addresses.is_empty() {
            pods.push(PodSpec {
                name: pod.id.to_string(),
                node: node_of(pod).to_owned(),
                addresses,
            });
        }
    }
    let ends: BTreeSet<IpAddr> = flows.iter().flat_map(|flow| [flow.from, flow.to]).collect();
    Topology {
        nodes,
        pods,
        externals: ends.difference(&wired).copied().collect(),
    }
}

/// Builds the lab, with the rules of `graph` in force on every node.
///
/// # Panics
/// When that fails, with the reason: kernel tests need root, `ip` and `nft`, and never skip.
pub(crate) fn build(topology: &Topology, graph: &RuleGraph, prefix: &str) -> Lab {
    let lab = Lab::build(topology, prefix).unwrap_or_else(|error| panic!("no lab: {error}"));
    for node in &topology.nodes {
        let config = Config::default();
        let ruleset = render(graph, &node.name, &config).unwrap();
        put_in_force(&mut nft(&lab, &node.name), &ruleset, &config);
    }
    lab
}

/// Puts the rules in force, and has standing flows evaluated anew.
pub(crate) fn put_in_force(kernel: &mut dyn Kernel, ruleset: &Ruleset, config: &Config) {
    load(kernel, ruleset, config, StandingFlows::Recheck)
        .unwrap_or_else(|error| panic!("no rules in force: {error}"));
}

/// What one run of nft may take, as the product has it.
const NFT_LIMIT: Duration = Duration::from_secs(60);

/// The tables of a node.
pub(crate) fn nft(lab: &Lab, node: &str) -> Nft {
    let nft = Nft::new().in_namespace(lab.node_namespace(node).unwrap().path());
    nft.with_limit(patient(NFT_LIMIT))
}

pub(crate) fn probe(flow: &Flow) -> Probe {
    Probe {
        from: flow.from,
        to: flow.to,
        kind: match flow.port {
            FlowPort::Port(Protocol::Tcp, port) => ProbeKind::Tcp(port),
            FlowPort::Port(Protocol::Udp, port) => ProbeKind::Udp(port),
            FlowPort::Port(Protocol::Sctp, port) => ProbeKind::Sctp(port),
            FlowPort::Other => ProbeKind::Echo,
        },
    }
}

/// Which of the probes' packets got through.
pub(crate) fn seen(lab: &Lab, probes: &[Probe]) -> Vec<Seen> {
    lab.probe(probes, &AtomicBool::new(false))
        .unwrap_or_else(|error| panic!("no probe: {error}"))
}
