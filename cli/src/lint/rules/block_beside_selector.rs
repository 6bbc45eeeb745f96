//! NP006: an ipBlock beside a selector in one peer.

use policy_core::problem::ProblemKind;

use crate::lint::{Certainty, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Peers with `ipBlock` and `podSelector` or `namespaceSelector`.
    ///
    /// ## Why it matters
    /// The API server refuses them: a block of addresses and a set of pods cannot be one peer.
    ///
    /// ## Example
    /// ```yaml
    /// from:
    /// - ipBlock: {cidr: 10.0.0.0/8}
    ///   podSelector: {}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// from:
    /// - ipBlock: {cidr: 10.0.0.0/8}
    /// - podSelector: {}
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP006",
        name: "block-beside-selector",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, problem) in input.problems() {
        if matches!(problem.kind, ProblemKind::BlockBesideSelector) {
            findings.add_problem(
                &RULE,
                policy,
                problem,
                Some("make them two peers".to_owned()),
            );
        }
    }
}
