//! `nopal explain`: why a flow passes or not.

use policy_core::RuleGraph;

use super::{Outcome, load};
use crate::args::{Arguments, Explain, Format};
use crate::inventory::MadeUp;
use crate::{explain, report};

pub(super) fn run(arguments: &Arguments, options: &Explain) -> Outcome {
    let manifests = load::read(arguments, &options.input);
    let (inventory, outcome) = load::inventory(&manifests, MadeUp::Addresses);
    let graph = RuleGraph::compile(&inventory.cluster);
    let ends = (options.from.as_str(), options.to.as_str());
    let explanation = match explain::explain(&inventory, &graph, ends, options.port, None) {
        Ok(explanation) => explanation,
        Err(error) => {
            report::print_error(&format!("error: {error}"));
            return Outcome::Unreadable;
        }
    };
    report::print(&match options.format {
        Format::Text => report::explanation::text(&explanation, &inventory),
        Format::Json => report::json(&report::explanation::json(&explanation, &inventory)),
    });
    outcome
}
