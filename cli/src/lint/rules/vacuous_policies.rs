//! NP229: policies that together allow everything.

use policy_core::{Direction, FieldPath};

use crate::lint::region::Region;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Namespaces whose policies together allow everything to all pods that they isolate.
    ///
    /// ## Why it matters
    /// It is the same as having no policies there.
    ///
    /// ## Example
    /// ```yaml
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {matchLabels: {app: api}}}]
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
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {matchLabels: {app: api}}}]
    /// ```
    ///
    /// ## No finding
    /// A single policy that allows everything (NP106).
    pub(super) const RULE: Rule = Rule {
        code: "NP229",
        name: "vacuous-policies",
        severity: Severity::Warning,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let path = FieldPath::root().field("metadata").field("name");
    for (neighbours, _) in &input.neighbours {
        let members = neighbours
            .policies
            .iter()
            .map(|&index| &input.policies[index]);
        let is_open = |policy: &crate::lint::LintPolicy<'_>| {
            Direction::ALL.into_iter().all(|direction| {
                let everything = Region::everything(&policy.meaning.subjects);
                !policy.meaning.isolates(direction)
                    || neighbours.cover(direction, &everything, |_| true).is_some()
            })
        };
        if members.len() < 2 || !members.clone().all(is_open) {
            continue;
        }
        let Some(first) = members.clone().next() else {
            continue;
        };
        let namespace = &first.meaning.id.namespace;
        let message = format!(
            "the policies of namespace {namespace} together allow everything: it is as if there were none"
        );
        let finding = Finding::new(&RULE, first, path.clone(), message)
            .with_fix("narrow the rules that allow everything, or remove the policies");
        findings.add(members.skip(1).take(3).fold(finding, |finding, policy| {
            finding.with_related(policy.place(&path), "one of them")
        }));
    }
}
