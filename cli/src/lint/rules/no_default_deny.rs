//! NP225: a namespace without a default deny.

use policy_core::{Direction, FieldPath, Selector};

use super::not_isolated::is_of_the_cluster;
use crate::lint::meaning::selector_in_union;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Namespaces with policies, where a pod with new labels would be isolated by none of them. What counts is what the
    /// policies select together, not a name. It is information: a set of manifests is often a part of its namespace, whose
    /// default deny is kept elsewhere.
    ///
    /// ## Why it matters
    /// Whatever is deployed there next is open until somebody writes a policy for it.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Namespace
    /// metadata: {name: shop}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress, Egress]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Namespace
    /// metadata: {name: shop}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: default-deny, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress, Egress]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP225",
        name: "no-default-deny",
        severity: Severity::Info,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let path = FieldPath::root().field("metadata").field("name");
    for (neighbours, _) in &input.neighbours {
        let members = || {
            neighbours
                .policies
                .iter()
                .map(|&index| &input.policies[index])
        };
        let Some(first) = members().next() else {
            continue;
        };
        let namespace = first.meaning.id.namespace.as_ref();
        if is_of_the_cluster(namespace) {
            continue;
        }
        for direction in Direction::ALL {
            let isolating = members().filter(|policy| policy.meaning.isolates(direction));
            let selectors: Vec<&Selector> =
                isolating.map(|policy| &policy.meaning.subjects).collect();
            if selector_in_union(&Selector::everything(), &selectors).is_some() {
                continue;
            }
            let message = format!(
                "namespace {namespace} has no default deny for {direction}: a pod that these policies do not select is open"
            );
            findings.add(
                Finding::new(&RULE, first, path.clone(), message).with_fix(format!(
                    "add a policy with podSelector: {{}} and policyTypes: [{}]",
                    match direction {
                        Direction::Ingress => "Ingress",
                        Direction::Egress => "Egress",
                    }
                )),
            );
        }
    }
}
