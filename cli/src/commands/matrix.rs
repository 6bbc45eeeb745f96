//! `nopal matrix`: who reaches whom on what.

use policy_core::RuleGraph;

use super::{Outcome, load};
use crate::args::{Arguments, Matrix};
use crate::inventory::MadeUp;
use crate::matrix::matrix;
use crate::report;

pub(super) fn run(arguments: &Arguments, options: &Matrix) -> Outcome {
    let manifests = load::read(arguments, &options.input);
    let (inventory, outcome) = load::inventory(&manifests, MadeUp::Addresses);
    let graph = RuleGraph::compile(&inventory.cluster);
    let matrix = matrix(&inventory.cluster, &graph, options.port);
    report::print(&report::matrix::matrix(&matrix, options.format));
    outcome
}
