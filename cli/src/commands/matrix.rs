//! `nopal matrix`: who reaches whom on what.

use policy_core::{PodId, RuleGraph};

use super::{Outcome, load};
use crate::args::{Arguments, Matrix};
use crate::grouped::{Grouping, grouped};
use crate::inventory::{Inventory, MadeUp, Standing};
use crate::manifest::Manifests;
use crate::matrix::matrix;
use crate::owners::Owners;
use crate::picture::Picture;
use crate::reachable::Reachable;
use crate::report;
use crate::report::matrix::Format;

/// A grid of more pods is wider than any terminal.
const WIDEST_TABLE: usize = 60;

pub(super) fn run(arguments: &Arguments, options: &Matrix) -> Outcome {
    let Some(manifests) = load::some(arguments, &options.input) else {
        return Outcome::Unreadable;
    };
    if options.format == Format::Html {
        return page(&manifests, options);
    }
    let (inventory, outcome) = load::inventory(&manifests, MadeUp::Addresses);
    let text = match grouping(options, &inventory) {
        Grouping::Pod => {
            let graph = RuleGraph::compile(&inventory.cluster);
            let matrix = matrix(&inventory.cluster, &graph, options.port);
            report::matrix::matrix(&matrix, &manifests.errors, options.format)
        }
        grouping => by_group(&manifests, &inventory, options, grouping),
    };
    report::print(&text);
    outcome
}

/// What was asked for; a table of very many pods would be no help.
fn grouping(options: &Matrix, inventory: &Inventory<'_>) -> Grouping {
    if let Some(grouping) = options.group {
        return grouping;
    }
    let pods = inventory.cluster.pods().values();
    let count = pods.filter(|pod| !pod.finished).count();
    if options.format != Format::Table || count <= WIDEST_TABLE {
        return Grouping::Pod;
    }
    report::print_error(&format!(
        "note: the {count} pods are shown by namespace; --group workload, alike or pod shows more of them, --format html all"
    ));
    Grouping::Namespace
}

fn by_group(
    manifests: &Manifests,
    inventory: &Inventory<'_>,
    options: &Matrix,
    grouping: Grouping,
) -> String {
    let graph = RuleGraph::compile(&inventory.cluster);
    let pods = inventory
        .cluster
        .pods()
        .values()
        .filter(|pod| !pod.finished);
    let pods: Vec<(PodId, Standing)> = pods.map(|pod| (pod.id.clone(), Standing::Known)).collect();
    let only = options.port.map(crate::port::set);
    let mut reachable = Reachable::new(&inventory.cluster, &graph, &pods, only.as_ref());
    let owners = Owners::new(manifests);
    let grouped = grouped(&mut reachable, &graph, &owners, grouping);
    report::matrix_grouped::grouped(
        &grouped,
        &reachable,
        grouping,
        &manifests.errors,
        options.format,
    )
}

/// The page shows workloads whatever `--group` says, and pods that could be, since anybody may start them.
fn page(manifests: &Manifests, options: &Matrix) -> Outcome {
    let (inventory, pods) = Inventory::with_possible(manifests);
    let graph = RuleGraph::compile(&inventory.cluster);
    let only = options.port.map(crate::port::set);
    let owners = Owners::new(manifests);
    let picture = Picture::new(&inventory, &graph, &pods, &owners, only.as_ref());
    report::print(&report::page::page(&picture, &inventory, &graph));
    if manifests.errors.is_empty() {
        Outcome::Fine
    } else {
        Outcome::Unreadable
    }
}
