//! `nopal coverage`: which pods no policy isolates.

use super::{Outcome, load};
use crate::args::{Arguments, Coverage};
use crate::inventory::MadeUp;
use crate::questions::coverage::coverage;
use crate::report;

pub(super) fn run(arguments: &Arguments, options: &Coverage) -> Outcome {
    let Some(manifests) = load::some(arguments, &options.input) else {
        return Outcome::Unreadable;
    };
    let (inventory, outcome) = load::inventory(&manifests, MadeUp::Addresses);
    let coverage = coverage(&inventory);
    if coverage.pods.is_empty() {
        report::print_error("error: the input holds no pod that policies could isolate");
        return Outcome::Unreadable;
    }
    let wanted = options.direction.map(policy_core::Direction::from);
    let sides = coverage.sides.iter();
    let sides: Vec<_> = sides
        .filter(|side| wanted.is_none_or(|wanted| wanted == side.direction))
        .collect();
    report::print(&report::coverage::coverage(
        &coverage,
        &sides,
        &manifests.errors,
        options.format,
    ));
    let min = usize::from(options.min.unwrap_or(0));
    let is_below = |side: &&_| {
        let side: &crate::questions::coverage::Side = side;
        side.isolated.len() * 100 < min * side.total()
    };
    if sides.iter().any(is_below) {
        outcome.max(Outcome::Found)
    } else {
        outcome
    }
}
