//! `nopal diff`: which connections two inputs allow differently.

use super::{Outcome, load};
use crate::args::{Arguments, Diff, FailOn};
use crate::diff::{Difference, difference};
use crate::inventory::Pair;
use crate::report;

pub(super) fn run(arguments: &Arguments, options: &Diff) -> Outcome {
    let mut read = Vec::new();
    for version in [&options.old, &options.new] {
        match load::version(
            arguments,
            version,
            &options.namespace,
            options.kubeconfig.as_deref(),
        ) {
            Ok(manifests) => read.push(manifests),
            Err(message) => {
                report::print_error(&format!("error: {version}: {message}"));
                return Outcome::Unreadable;
            }
        }
    }
    for manifests in &read {
        report::input(manifests, arguments.verbose);
    }
    let [old, new] = [&read[0], &read[1]];
    let difference = difference(&Pair::new(old, new));
    report::print(&report::diff::diff(&difference, options.format));
    if !old.errors.is_empty() || !new.errors.is_empty() {
        return Outcome::Unreadable;
    }
    if is_failure(&difference, options.fail_on) {
        Outcome::Found
    } else {
        Outcome::Fine
    }
}

fn is_failure(difference: &Difference, fail_on: FailOn) -> bool {
    let (widened, narrowed) = (!difference.gained.is_empty(), !difference.lost.is_empty());
    match fail_on {
        FailOn::Widened => widened,
        FailOn::Narrowed => narrowed,
        FailOn::Any => widened || narrowed,
        FailOn::None => false,
    }
}
