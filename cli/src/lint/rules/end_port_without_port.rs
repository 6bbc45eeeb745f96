//! NP012: an endPort without port.

use policy_core::problem::ProblemKind;

use crate::lint::{Certainty, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// `endPort` where `port` is absent.
    ///
    /// ## Why it matters
    /// The API server refuses it: the range has no beginning.
    ///
    /// ## Example
    /// ```yaml
    /// ports: [{endPort: 90}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ports: [{port: 80, endPort: 90}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP012",
        name: "end-port-without-port",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, problem) in input.problems() {
        if matches!(problem.kind, ProblemKind::EndPortWithoutPort) {
            findings.add_problem(
                &RULE,
                policy,
                problem,
                Some("write the range's first port as port".to_owned()),
            );
        }
    }
}
