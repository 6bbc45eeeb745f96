//! `nopal render`: the nftables ruleset of one node.

use super::{Outcome, load, node};
use crate::args::{Arguments, Render};
use crate::report;

pub(super) fn run(arguments: &Arguments, options: &Render) -> Outcome {
    let Some(manifests) = load::some(arguments, &options.input) else {
        return Outcome::Unreadable;
    };
    let config = options.counting.config();
    let read = node::local(&manifests, &options.node).and_then(|local| {
        let ruleset = node::rendered(&local.graph, &options.node, &config)?;
        Ok((ruleset, local.outcome))
    });
    let (ruleset, outcome) = match read {
        Ok(rules) => rules,
        Err(outcome) => return outcome,
    };
    match report::ruleset::text(&ruleset, &config, options.format) {
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
