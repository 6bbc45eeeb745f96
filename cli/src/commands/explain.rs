//! `nopal explain`: why a flow passes or not.

use super::{Outcome, load};
use crate::args::{Arguments, Explain};
use crate::inventory::Inventory;
use crate::{explain, report};

pub(super) fn run(arguments: &Arguments, options: &Explain) -> Outcome {
    let Some(manifests) = load::some(arguments, &options.input) else {
        return Outcome::Unreadable;
    };
    let outcome = load::outcome(&manifests);
    let ends = (options.from.as_str(), options.to.as_str());
    let inventory = Inventory::of_ends(&manifests, ends.into());
    let explanation = match explain::explain(&inventory, ends, options.port, None) {
        Ok(explanation) => explanation,
        Err(error) => {
            report::print_error(&format!("error: {error}"));
            return Outcome::Unreadable;
        }
    };
    if options.from == options.to && options.from.matches('/').count() == 2 {
        report::print_error(&format!(
            "note: this is one pod and itself; nopal query --from {0} --to {0} tells what passes between its replicas",
            options.from
        ));
    }
    report::print(&report::explanation::explanation(
        &explanation,
        &inventory,
        &manifests.errors,
        options.format,
    ));
    outcome
}
