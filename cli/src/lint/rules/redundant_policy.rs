//! NP227: a policy that could go.

use policy_core::FieldPath;

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Policies that other policies make redundant: these isolate the same pods and allow all that the policy allows.
    ///
    /// ## Why it matters
    /// Removing it changes nothing, and so does editing it: what it seems to restrict stays allowed by the others.
    ///
    /// ## Example
    /// ```yaml
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {}}]
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: api, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: api}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {matchLabels: {app: web}}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {}}]
    /// ```
    ///
    /// ## No finding
    /// A policy that allows nothing beside others that allow something: it states the default. All policies with this
    /// finding can be removed together.
    pub(super) const RULE: Rule = Rule {
        code: "NP227",
        name: "redundant-policy",
        severity: Severity::Info,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let path = FieldPath::root().field("metadata").field("name");
    for (_, redundant) in &input.neighbours {
        for (index, others) in &redundant.policies {
            let names = others.iter().map(|other| input.policies[*other].name());
            let names: Vec<&str> = names.take(3).collect();
            let more = if others.len() > 3 { " and others" } else { "" };
            let message = format!(
                "the policy changes nothing: {}{more} isolate the same pods and allow all that it allows",
                names.join(", "),
            );
            let finding = Finding::new(&RULE, &input.policies[*index], path.clone(), message)
                .with_fix("remove it, or narrow the others");
            findings.add(others.iter().take(3).fold(finding, |finding, other| {
                let place = input.policies[*other].place(&path);
                finding.with_related(place, "allows it as well")
            }));
        }
    }
}
