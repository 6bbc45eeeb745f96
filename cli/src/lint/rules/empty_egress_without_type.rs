//! NP104: `egress: []` that has no effect.

use policy_core::Direction;

use crate::lint::written::rules_path;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};
use crate::manifest::Part;

rule! {
    /// ## What it finds
    /// `egress: []` (or `egress:` with nothing behind it) in a policy without `policyTypes`.
    ///
    /// ## Why it matters
    /// It reads as if all egress were denied. But without `policyTypes` only an egress rule makes the policy one for
    /// egress, and an empty list has none: the pods may still connect to everyone.
    ///
    /// ## Example
    /// ```yaml
    /// podSelector: {}
    /// egress: []
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// podSelector: {}
    /// policyTypes: [Ingress, Egress]
    /// egress: []
    /// ```
    ///
    /// ## No finding
    /// With `Egress` among `policyTypes`, `egress: []` denies all egress, as it reads.
    pub(super) const RULE: Rule = Rule {
        code: "NP104",
        name: "empty-egress-without-type",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let path = rules_path(Direction::Egress);
    for policy in &input.policies {
        let is_empty = policy.is_written(&path) && !policy.meaning.isolates(Direction::Egress);
        if is_empty && policy.has_default_types() {
            let message = "an empty egress list without policyTypes has no effect: the pods may still connect to everyone";
            let mut finding = Finding::new(&RULE, policy, path.clone(), message.to_owned())
                .with_fix(
                    "write policyTypes: [Ingress, Egress] to deny all egress, or remove egress",
                );
            finding.place = policy.policy.fields.place(&path, Part::Key);
            findings.add(finding);
        }
    }
}
