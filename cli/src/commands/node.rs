//! What render, apply and status share: the rules of one node.

use std::collections::BTreeSet;

use nft_backend::config::Config;
use nft_backend::nft::Nft;
use nft_backend::render;
use nft_backend::ruleset::Ruleset;
use policy_core::{Cluster, RuleGraph};

use super::{Outcome, load};
use crate::args::Place;
use crate::inventory::MadeUp;
use crate::manifest::Manifests;
use crate::report;

/// The rules of `node` by the addresses that objects state, and how bad it is what could not be read. An unknown node
/// is told, with those that are known.
pub(super) fn rules(
    manifests: &Manifests,
    node: &str,
    config: &Config,
) -> Result<(Ruleset, Outcome), Outcome> {
    let (graph, outcome) = graph(manifests, node)?;
    Ok((rendered(&graph, node, config)?, outcome))
}

/// What all policies mean, for [`rendered`].
pub(super) fn graph(manifests: &Manifests, node: &str) -> Result<(RuleGraph, Outcome), Outcome> {
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
    Ok((RuleGraph::compile(&inventory.cluster), outcome))
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
