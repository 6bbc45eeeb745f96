//! What every command does first: read the input, and say what could not be read.

use super::Outcome;
use crate::args::{Arguments, InputArguments};
use crate::inventory::{Inventory, MadeUp};
use crate::manifest::{self, Manifests};
use crate::report;

pub(super) fn read(arguments: &Arguments, input: &InputArguments) -> Manifests {
    let manifests = manifest::read(&input.paths, &input.namespace);
    report::input(&manifests, arguments.verbose);
    manifests
}

/// The cluster, and how bad what could not be read is.
pub(super) fn inventory(manifests: &Manifests, made_up: MadeUp) -> (Inventory<'_>, Outcome) {
    let inventory = Inventory::new(manifests, made_up);
    let outcome = if manifests.errors.is_empty() {
        Outcome::Fine
    } else {
        Outcome::Unreadable
    };
    (inventory, outcome)
}
