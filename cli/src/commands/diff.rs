//! `nopal diff`: which connections two inputs allow differently.

use super::{Outcome, load};
use crate::args::{Arguments, Diff, FailOn};
use crate::diff::{Difference, difference};
use crate::inventory::Pair;
use crate::report;

pub(super) fn run(arguments: &Arguments, options: &Diff) -> Outcome {
    let versions = [&options.old, &options.new];
    let kubeconfig = options.kubeconfig.as_deref();
    let Some([old, new]) = load::versions(arguments, versions, &options.namespace, kubeconfig)
    else {
        return Outcome::Unreadable;
    };
    let difference = difference(&Pair::new(&old, &new));
    let unread = [old.errors, new.errors].concat();
    report::print(&report::diff::diff(&difference, &unread, options.format));
    if !unread.is_empty() {
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
