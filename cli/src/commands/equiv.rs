//! `nopal equiv`: whether two inputs mean the same.

use super::{Outcome, load};
use crate::args::{Arguments, Equiv, Scope};
use crate::diff::difference;
use crate::inventory::{Inventory, MadeUp, Pair};
use crate::questions::equivalence::{Unlike, unlike};
use crate::report;

pub(super) fn run(arguments: &Arguments, options: &Equiv) -> Outcome {
    let versions = [&options.one, &options.other];
    let kubeconfig = options.kubeconfig.as_deref();
    let Some([one, other]) = load::versions(arguments, versions, &options.namespace, kubeconfig)
    else {
        return Outcome::Unreadable;
    };
    if !one.errors.is_empty() || !other.errors.is_empty() {
        report::print_error("error: no answer: what could not be read may be a policy or a pod");
        return Outcome::Unreadable;
    }
    let difference = difference(&Pair::new(&one, &other));
    let unlike = match options.scope {
        Scope::Input => Unlike::default(),
        Scope::Any => {
            let [one, other] = [&one, &other].map(|it| Inventory::new(it, MadeUp::Nothing).cluster);
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
