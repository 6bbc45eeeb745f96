//! NP015: a label value that YAML reads as something else than text.

use super::mistyped::{self, Topic};
use crate::lint::{Certainty, Findings, Input, Repair, Rule, Severity};

rule! {
    /// ## What it finds
    /// Values of labels, of annotations and in selectors that are numbers, booleans or nothing. The API server reads
    /// YAML 1.1, where `y`, `yes`, `on`, `no` and `off` without quotes are booleans.
    ///
    /// ## Why it matters
    /// The API server refuses the policy, and the value may look like text: `values: [x, y]`.
    ///
    /// ## Example
    /// ```yaml
    /// matchLabels: {canary: yes}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// matchLabels: {canary: "yes"}
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP015",
        name: "label-value-not-a-string",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, problem) in input.problems() {
        if mistyped::topic(problem) == Some(Topic::LabelValue) {
            let written = mistyped::scalar(problem);
            let fix = written.map(|written| format!("put it in quotes: \"{written}\""));
            let finding = findings.add_problem(&RULE, policy, problem, fix);
            finding.repair = written
                .map(|written| Repair::edit(finding.place.clone(), format!("\"{written}\"")));
        }
    }
}
