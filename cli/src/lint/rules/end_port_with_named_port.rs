//! NP011: an endPort beside a port name.

use policy_core::problem::ProblemKind;

use crate::lint::{Certainty, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// `endPort` beside a `port` that is a name.
    ///
    /// ## Why it matters
    /// The API server refuses it: a name has no place in the order of numbers.
    ///
    /// ## Example
    /// ```yaml
    /// ports: [{port: http, endPort: 90}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ports: [{port: 80, endPort: 90}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP011",
        name: "end-port-with-named-port",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, problem) in input.problems() {
        if matches!(problem.kind, ProblemKind::EndPortWithNamedPort { .. }) {
            findings.add_problem(
                &RULE,
                policy,
                problem,
                Some("write the number instead of the name, or remove endPort".to_owned()),
            );
        }
    }
}
