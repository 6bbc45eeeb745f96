//! `nopal exposure`: what is open to the internet, to the whole cluster, and to what the input does not hold.

use super::{Outcome, load};
use crate::args::{Arguments, Exposure};
use crate::inventory::Inventory;
use crate::questions::exposure::exposure;
use crate::report;

pub(super) fn run(arguments: &Arguments, options: &Exposure) -> Outcome {
    let Some(manifests) = load::some(arguments, &options.input) else {
        return Outcome::Unreadable;
    };
    let (inventory, pods) = Inventory::with_possible(&manifests);
    let mut exposure = exposure(&inventory, pods);
    if let Some(direction) = options.direction {
        let direction = direction.into();
        exposure.lines.retain(|line| line.direction == direction);
    }
    report::print(&report::exposure::exposure(
        &exposure,
        &manifests.errors,
        options.format,
    ));
    if !manifests.errors.is_empty() {
        return Outcome::Unreadable;
    }
    let is_asked = |level| {
        let mut lines = exposure.lines.iter();
        lines.any(|line| line.audience.reaches(level))
    };
    if options.fail_on.iter().any(|&level| is_asked(level)) {
        Outcome::Found
    } else {
        Outcome::Fine
    }
}
