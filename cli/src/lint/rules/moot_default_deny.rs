//! NP230: a default deny that another policy undoes.

use policy_core::{Direction, FieldPath};

use crate::lint::region::Region;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Policies that isolate pods and allow nothing in a direction, where other policies allow everything in that
    /// direction to all of these pods.
    ///
    /// ## Why it matters
    /// Policies add up: a deny by one is no deny when another allows. The default deny does nothing.
    ///
    /// ## Example
    /// ```yaml
    /// kind: NetworkPolicy
    /// metadata: {name: default-deny, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress]
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: open, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress]
    ///   ingress: [{}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: NetworkPolicy
    /// metadata: {name: default-deny, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress]
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress: [{}]
    /// ```
    ///
    /// ## No finding
    /// Where the others open everything to some of the pods only.
    pub(super) const RULE: Rule = Rule {
        code: "NP230",
        name: "moot-default-deny",
        severity: Severity::Warning,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let path = FieldPath::root().field("spec").field("policyTypes");
    for (neighbours, _) in &input.neighbours {
        for &index in &neighbours.policies {
            let policy = &input.policies[index];
            for direction in Direction::ALL {
                let is_deny = policy.meaning.isolates(direction)
                    && policy.meaning.rules(direction).is_empty();
                let everything = Region::everything(&policy.meaning.subjects);
                let opening = is_deny
                    .then(|| neighbours.cover(direction, &everything, |_| true))
                    .flatten();
                let Some((other, ..)) = opening.as_ref().and_then(|rules| rules.first()) else {
                    continue;
                };
                let opening = &input.policies[*other];
                let message = format!(
                    "{direction} is not denied: policy {} allows everything to the same pods",
                    opening.name()
                );
                let name = FieldPath::root().field("metadata").field("name");
                findings.add(
                    Finding::new(&RULE, policy, path.clone(), message)
                        .with_fix("narrow the policy that allows everything")
                        .with_related(opening.place(&name), "allows everything"),
                );
            }
        }
    }
}
