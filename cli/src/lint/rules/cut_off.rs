//! NP223: pods that reach nobody and that nobody reaches.

use std::collections::BTreeMap;

use policy_core::{Direction, FieldPath};

use crate::lint::{Certainty, ClassId, Finding, Findings, Grant, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Pods that are isolated in both directions, and to which no rule allows anything.
    ///
    /// ## Why it matters
    /// Such a pod can do nothing over the network. Often the policy that should open something selects other pods.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: default-deny, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress, Egress]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: default-deny, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress, Egress]
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - ports: [{protocol: TCP, port: 80}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP223",
        name: "cut-off",
        severity: Severity::Info,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let path = FieldPath::root().field("spec").field("podSelector");
    let mut of_policy: BTreeMap<u32, Vec<ClassId>> = BTreeMap::new();
    for (id, _) in input.reach.numbered() {
        if let Some(&policy) = input.reach.isolating(id, Direction::Ingress).first()
            && is_cut_off(input, id)
        {
            of_policy.entry(policy).or_default().push(id);
        }
    }
    for (policy, classes) in of_policy {
        let names = classes.iter().take(3);
        let names = names.map(|&class| input.reach.class(class).name().to_string());
        let more = if classes.len() > 3 { " and others" } else { "" };
        let message = format!(
            "nothing is allowed to {}{more} in either direction: no connection reaches or leaves these pods",
            names.collect::<Vec<_>>().join(", ")
        );
        findings.add(
            Finding::new(
                &RULE,
                &input.policies[policy as usize],
                path.clone(),
                message,
            )
            .with_fix("allow what they need in a policy that selects them"),
        );
    }
}

fn is_cut_off(input: &Input<'_>, class: ClassId) -> bool {
    let mut directions = Direction::ALL.into_iter();
    directions.all(|direction| gives_nothing(input, class, direction))
}

/// Whether a class is isolated in `direction`, and nothing is allowed to it.
pub(super) fn gives_nothing(input: &Input<'_>, class: ClassId, direction: Direction) -> bool {
    let mut given = input.reach.given(class, direction);
    input.reach.is_isolated(class, direction) && !given.any(is_something)
}

fn is_something(grant: &Grant) -> bool {
    grant.is_for_everyone || !grant.blocks.is_empty() || !grant.peers.is_empty()
}
