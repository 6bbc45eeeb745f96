//! NP102: egress rules that `policyTypes` leaves out.

use policy_core::Direction;

use super::ingress_rules_without_type::report;
use crate::lint::{Certainty, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Egress rules in a policy whose `policyTypes` does not list `Egress`.
    ///
    /// ## Why it matters
    /// The API ignores the rules: the pods may still connect to everyone.
    ///
    /// ## Example
    /// ```yaml
    /// policyTypes: [Ingress]
    /// egress:
    /// - to: [{podSelector: {matchLabels: {app: db}}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// policyTypes: [Ingress, Egress]
    /// egress:
    /// - to: [{podSelector: {matchLabels: {app: db}}}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP102",
        name: "egress-rules-without-type",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    report(&RULE, Direction::Egress, "Egress", input, findings);
}
