//! `nopal query`: who of some ends reaches whom of others.

use policy_core::{Cluster, PortSet, Selector};

use super::{Outcome, load};
use crate::args::{Arguments, Query};
use crate::inventory::{Inventory, MadeUp};
use crate::port;
use crate::questions::query::{Question, query};
use crate::questions::selection::Selection;
use crate::report;

pub(super) fn run(arguments: &Arguments, options: &Query) -> Outcome {
    let Some(manifests) = load::some(arguments, &options.input) else {
        return Outcome::Unreadable;
    };
    let ends = [&options.from, &options.to];
    let asked: Vec<(&Selector, &Selector)> = ends
        .into_iter()
        .filter_map(|end| match end {
            Selection::Labels { namespaces, pods } => Some((namespaces, pods)),
            _ => None,
        })
        .collect();
    let (inventory, pods) = Inventory::with_possible_for(&manifests, &asked);
    // Who has an address that is written; addresses that are made up answer no question.
    let has_addresses = ends
        .iter()
        .any(|end| matches!(end, Selection::Addresses(_)));
    let written = if has_addresses {
        Inventory::new(&manifests, MadeUp::Nothing).cluster
    } else {
        Cluster::default()
    };
    let question = Question {
        from: &options.from,
        to: &options.to,
        ports: options.port.map_or_else(PortSet::all, port::set),
        only_known: options.known,
        written: &written,
    };
    let answer = match query(&inventory, pods, &question) {
        Ok(answer) => answer,
        Err(error) => {
            report::print_error(&format!("error: {error}"));
            return Outcome::Unreadable;
        }
    };
    report::print(&report::query::answer(
        &answer,
        &manifests.errors,
        options.format,
    ));
    if !manifests.errors.is_empty() {
        Outcome::Unreadable
    } else if options.not && !answer.connections.is_empty() {
        Outcome::Found
    } else {
        Outcome::Fine
    }
}
