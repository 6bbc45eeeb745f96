//! What render, apply and status share: the rules of one node.

use std::collections::BTreeSet;

use nft_backend::config::Config;
use nft_backend::nft::Nft;
use nft_backend::render;
use nft_backend::ruleset::Ruleset;
use nft_backend::topology::LocalPod;
use policy_core::{Cluster, Pod, RuleGraph};

use super::{Outcome, load};
use crate::args::Place;
use crate::inventory::MadeUp;
use crate::manifest::Manifests;
use crate::report;

/// What the input says of one node.
pub(super) struct Local {
    /// What all policies mean, for [`rendered`].
    pub(super) graph: RuleGraph,
    /// The node's pods that policies can be about.
    pub(super) pods: Vec<LocalPod>,
    /// How bad it is what could not be read.
    pub(super) outcome: Outcome,
}

/// Reads what is about `node`, by the addresses that objects state. An unknown node is told, with those that are known.
pub(super) fn local(manifests: &Manifests, node: &str) -> Result<Local, Outcome> {
    let (inventory, outcome) = load::inventory(manifests, MadeUp::Nothing);
    let known = nodes(&inventory.cluster);
    if !known.contains(node) {
        let known: Vec<&str> = known.into_iter().collect();
        let names = match known.as_slice() {
            [] => "there is none".to_owned(),
            known => format!("there is {}", known.join(", ")),
        };
        report::print_error(&format!(
            "error: node {node} is not in the input, and no pod runs on it; {names}"
        ));
        return Err(Outcome::Unreadable);
    }
    Ok(Local {
        graph: RuleGraph::compile(&inventory.cluster),
        pods: pods(&inventory.cluster, node),
        outcome,
    })
}

/// The pods to look for in the node's network. The interface of one that is being deleted may be gone before it.
fn pods(cluster: &Cluster, node: &str) -> Vec<LocalPod> {
    let runs_here = |pod: &Pod| {
        let is_there = !pod.terminating && !pod.addresses.is_empty();
        is_there && pod.is_selectable() && pod.node.as_deref() == Some(node)
    };
    let pods = cluster.pods().values();
    pods.filter(|pod| runs_here(pod))
        .map(|pod| LocalPod {
            name: pod.id.to_string(),
            addresses: pod.addresses.clone(),
            namespace: None,
        })
        .collect()
}

/// The rules of `node`.
pub(super) fn rendered(graph: &RuleGraph, node: &str, config: &Config) -> Result<Ruleset, Outcome> {
    render::render(graph, node, config).map_err(|error| {
        report::print_error(&format!("error: {error}"));
        Outcome::Unreadable
    })
}

/// The nodes that Nodes or Pods name.
fn nodes(cluster: &Cluster) -> BTreeSet<&str> {
    let of_pods = cluster
        .pods()
        .values()
        .filter_map(|pod| pod.node.as_deref());
    let nodes = cluster.nodes().keys().map(AsRef::as_ref);
    nodes.chain(of_pods).collect()
}

impl Place {
    /// The tables there.
    pub(super) fn kernel(&self) -> Nft {
        match &self.netns {
            Some(namespace) => Nft::new().in_namespace(namespace),
            None => Nft::new(),
        }
    }
}
