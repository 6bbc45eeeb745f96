//! NP101: ingress rules that `policyTypes` leaves out.

use policy_core::Direction;

use crate::lint::written::rules_path;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Ingress rules in a policy whose `policyTypes` does not list `Ingress`.
    ///
    /// ## Why it matters
    /// The API ignores the rules: the policy neither isolates its pods for ingress nor allows them anything. Some network
    /// plugins enforce them all the same, so the policy means different things on different clusters.
    ///
    /// ## Example
    /// ```yaml
    /// policyTypes: [Egress]
    /// ingress:
    /// - from: [{podSelector: {matchLabels: {app: web}}}]
    /// egress: []
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// policyTypes: [Ingress, Egress]
    /// ingress:
    /// - from: [{podSelector: {matchLabels: {app: web}}}]
    /// egress: []
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP101",
        name: "ingress-rules-without-type",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    report(&RULE, Direction::Ingress, "Ingress", input, findings);
}

/// Reports the rules of a direction that is not among the policy types.
pub(super) fn report(
    rule: &Rule,
    direction: Direction,
    policy_type: &str,
    input: &Input<'_>,
    findings: &mut Findings,
) {
    for policy in &input.policies {
        let Some(spec) = policy.spec() else { continue };
        let count = match direction {
            Direction::Ingress => spec.ingress.as_ref().map_or(0, Vec::len),
            Direction::Egress => spec.egress.as_ref().map_or(0, Vec::len),
        };
        if count == 0 || policy.meaning.isolates(direction) || policy.has_default_types() {
            continue;
        }
        let types = rules_path(direction);
        let message = format!(
            "the {direction} rules have no effect: policyTypes does not list {policy_type}, so the policy leaves {direction} as it is"
        );
        let written = policy_core::FieldPath::root()
            .field("spec")
            .field("policyTypes");
        findings.add(
            Finding::new(rule, policy, types, message)
                .with_fix(format!(
                    "add {policy_type} to policyTypes, or remove the rules"
                ))
                .with_related(
                    policy.place(&written),
                    format!("{policy_type} is missing here"),
                ),
        );
    }
}
