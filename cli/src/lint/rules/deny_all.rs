//! NP131: a policy that denies everything.

use policy_core::{Direction, FieldPath};

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Policies that isolate their pods for a direction and allow nothing in it. It runs only when it is selected by its
    /// whole code: `--select NP131`.
    ///
    /// ## Why it matters
    /// A default deny is the recommended base; the list of them tells where it stands.
    ///
    /// ## Example
    /// ```yaml
    /// podSelector: {}
    /// policyTypes: [Ingress, Egress]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// podSelector: {}
    /// policyTypes: [Ingress]
    /// ingress:
    /// - from: [{podSelector: {}}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP131",
        name: "deny-all",
        severity: Severity::Info,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for policy in &input.policies {
        for direction in Direction::ALL {
            let meaning = &policy.meaning;
            if !meaning.isolates(direction) || !meaning.rules(direction).is_empty() {
                continue;
            }
            let whom = if meaning.subjects.is_everything() {
                format!("every pod of {}", meaning.id.namespace)
            } else {
                format!("the pods with {}", meaning.subjects)
            };
            let message = format!("this policy allows no {direction} to {whom}");
            findings.add(Finding::new(
                &RULE,
                policy,
                FieldPath::root().field("spec"),
                message,
            ));
        }
    }
}
