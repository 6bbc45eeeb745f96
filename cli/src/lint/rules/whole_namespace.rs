//! NP136: rules for every pod of a namespace.

use policy_core::{Direction, FieldPath};

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Policies that select every pod of their namespace and allow something.
    ///
    /// ## Why it matters
    /// What they allow is allowed to every pod, those that come later included. For DNS and metrics that is meant.
    ///
    /// ## Example
    /// ```yaml
    /// podSelector: {}
    /// policyTypes: [Ingress]
    /// ingress:
    /// - ports: [{protocol: TCP, port: 8080}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// podSelector: {matchLabels: {app: web}}
    /// policyTypes: [Ingress]
    /// ingress:
    /// - ports: [{protocol: TCP, port: 8080}]
    /// ```
    ///
    /// ## No finding
    /// A default deny selects every pod and allows nothing.
    pub(super) const RULE: Rule = Rule {
        code: "NP136",
        name: "whole-namespace",
        severity: Severity::Info,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for policy in &input.policies {
        let allows = Direction::ALL
            .into_iter()
            .any(|direction| !policy.rules_of(direction).is_empty());
        if policy.meaning.subjects.is_everything() && allows {
            let path = FieldPath::root().field("spec").field("podSelector");
            let message = format!(
                "the rules hold for every pod of namespace {}",
                policy.meaning.id.namespace
            );
            findings.add(
                Finding::new(&RULE, policy, path, message)
                    .with_fix("select the pods that need it, if not all do"),
            );
        }
    }
}
