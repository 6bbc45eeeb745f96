//! `nopal equiv`: whether two inputs mean the same.

use super::{Outcome, load};
use crate::args::{Arguments, Equiv, Scope};
use crate::diff::difference;
use crate::inventory::{Inventory, MadeUp, Pair};
use crate::questions::equivalence::{Unlike, unlike};
use crate::report;

pub(super) fn run(arguments: &Arguments, options: &Equiv) -> Outcome {
    let mut read = Vec::new();
    for version in [&options.one, &options.other] {
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
    if read.iter().any(|manifests| !manifests.errors.is_empty()) {
        report::print_error("error: no answer: what could not be read may be a policy or a pod");
        return Outcome::Unreadable;
    }
    let [one, other] = [&read[0], &read[1]];
    let difference = difference(&Pair::new(one, other));
    let unlike = match options.scope {
        Scope::Input => Unlike::default(),
        Scope::Any => {
            let [one, other] = [one, other].map(|it| Inventory::new(it, MadeUp::Nothing).cluster);
            unlike(one.policies(), other.policies())
        }
    };
    let is_same = difference.is_empty() && unlike.is_empty();
    let answer = report::equivalence::Answer {
        difference: &difference,
        unlike: &unlike,
        names: [options.one.to_string(), options.other.to_string()],
        is_for_any: options.scope == Scope::Any,
    };
    report::print(&report::equivalence::answer(&answer, options.format));
    if is_same {
        Outcome::Fine
    } else {
        Outcome::Found
    }
}
