//! `nopal render`: the nftables ruleset of one node.

use nft_backend::config::Config;
use nft_backend::render::render;
use policy_core::{Cluster, RuleGraph};

use super::{Outcome, load};
use crate::args::{Arguments, Render};
use crate::inventory::MadeUp;
use crate::report;

pub(super) fn run(arguments: &Arguments, options: &Render) -> Outcome {
    let manifests = load::read(arguments, &options.input);
    let (inventory, outcome) = load::inventory(&manifests, MadeUp::Nothing);
    let node = options.node.as_str();
    if !has_node(&inventory.cluster, node) {
        report::print_error(&format!(
            "error: node {node} is not in the input, and no pod runs on it"
        ));
        return Outcome::Unreadable;
    }
    let config = Config::default();
    let graph = RuleGraph::compile(&inventory.cluster);
    let text = render(&graph, node, &config)
        .map_err(|error| error.to_string())
        .and_then(|ruleset| report::ruleset::text(&ruleset, &config, options.format));
    match text {
        Ok(text) => {
            report::print(&text);
            outcome
        }
        Err(error) => {
            report::print_error(&format!("error: {error}"));
            Outcome::Unreadable
        }
    }
}

fn has_node(cluster: &Cluster, node: &str) -> bool {
    let runs = |pod: &policy_core::Pod| pod.node.as_deref() == Some(node);
    cluster.nodes().contains_key(node) || cluster.pods().values().any(|pod| runs(pod))
}
