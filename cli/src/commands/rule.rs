//! `nopal rule` and `nopal rules`: what the rules of `nopal lint` are.

use super::Outcome;
use crate::args::{Rule as RuleArguments, Rules};
use crate::lint::RULES;
use crate::report;

/// Prints the page of one rule.
pub(super) fn run_one(options: &RuleArguments) -> Outcome {
    let wanted = options.code.as_str();
    let known = RULES
        .iter()
        .find(|rule| rule.code.eq_ignore_ascii_case(wanted) || rule.name == wanted);
    let Some(rule) = known else {
        report::print_error(&format!(
            "error: no rule is named {wanted}; nopal rules lists them"
        ));
        return Outcome::Unreadable;
    };
    report::print(&report::rules::page(rule, options.format));
    Outcome::Fine
}

/// Prints the table of all rules.
pub(super) fn run_all(options: &Rules) -> Outcome {
    report::print(&report::rules::table(RULES, options.format));
    Outcome::Fine
}
