//! `nopal render`: the nftables rules of a node.

use nft_backend::config::Config;

use super::{Outcome, load, node};
use crate::args::{Arguments, Render};
use crate::report;

pub(super) fn run(arguments: &Arguments, options: &Render) -> Outcome {
    let manifests = load::read(arguments, &options.input);
    match node::rules(&manifests, &options.node, &Config::default()) {
        Ok((ruleset, outcome)) => {
            report::print(&report::rules::rules(&ruleset, options.format));
            outcome
        }
        Err(outcome) => outcome,
    }
}
