//! `nopal test`: runs `ConnectivityTest`s against the model.

use policy_core::RuleGraph;

use super::{Outcome, load};
use crate::args::{Arguments, Test};
use crate::coverage::Coverage;
use crate::inventory::MadeUp;
use crate::manifest::ConnectivityTest;
use crate::{connectivity, manifest, report};

pub(super) fn run(arguments: &Arguments, options: &Test) -> Outcome {
    let Some(manifests) = load::some(arguments, &options.input) else {
        return Outcome::Unreadable;
    };
    let (inventory, mut outcome) = load::inventory(&manifests, MadeUp::Addresses);
    let files = manifest::read(&options.tests, &options.input.namespace);
    report::input(&files, arguments.verbose);
    if !files.errors.is_empty() {
        outcome = Outcome::Unreadable;
    }
    let tests: Vec<&ConnectivityTest> = files.tests().collect();
    if tests.is_empty() && files.errors.is_empty() {
        report::print_error("error: the test files hold no ConnectivityTest with tests");
        outcome = Outcome::Unreadable;
    }
    let graph = RuleGraph::compile(&inventory.cluster);
    let mut results = Vec::new();
    let mut errors = Vec::new();
    for (test, number) in tests.into_iter().zip(1..) {
        match connectivity::run(&inventory, &graph, test, number) {
            Ok(result) => results.push(result),
            Err(error) => errors.push(error),
        }
    }
    for error in &errors {
        report::print_error(&format!("error: {error}"));
        outcome = Outcome::Unreadable;
    }
    let coverage = options.coverage.then(|| {
        Coverage::new(
            &inventory,
            results.iter().flat_map(|result| &result.decided),
        )
    });
    let unread = [&manifests.errors[..], &files.errors].concat();
    let results = report::tests::Results {
        outcomes: &results,
        errors: &errors,
        coverage: coverage.as_ref(),
        unread: &unread,
    };
    report::print(&report::tests::render(&results, options.format));
    let results = results.outcomes;
    let has_failed = results.iter().any(|result| !result.is_ok());
    outcome.max(if has_failed {
        Outcome::Found
    } else {
        Outcome::Fine
    })
}
