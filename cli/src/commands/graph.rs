//! `nopal graph`: what rules let flow, as a picture.

use policy_core::RuleGraph;

use super::{Outcome, load};
use crate::args::{Arguments, Graph};
use crate::graph::drawing;
use crate::inventory::{MadeUp, Standing};
use crate::owners::Owners;
use crate::picture::Picture;
use crate::report;

pub(super) fn run(arguments: &Arguments, options: &Graph) -> Outcome {
    let Some(manifests) = load::some(arguments, &options.input) else {
        return Outcome::Unreadable;
    };
    let (inventory, outcome) = load::inventory(&manifests, MadeUp::Addresses);
    let graph = RuleGraph::compile(&inventory.cluster);
    let pods = inventory
        .cluster
        .pods()
        .values()
        .filter(|pod| !pod.finished);
    let pods: Vec<_> = pods.map(|pod| (pod.id.clone(), Standing::Known)).collect();
    let owners = Owners::new(&manifests);
    let picture = Picture::new(&inventory, &graph, &pods, &owners, None);
    let drawing = drawing(&picture, &graph, options.group);
    report::print(&report::graph::graph(
        &drawing,
        &manifests.errors,
        options.format,
    ));
    outcome
}
