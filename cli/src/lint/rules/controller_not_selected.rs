//! NP240: a rule for an ingress controller that is somewhere else.

use policy_core::policy::{Namespaces, Peer};
use policy_core::selector::Values;
use policy_core::{Direction, Selector};

use super::ingress_backend_blocked::controllers;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Ingress peers that name an ingress controller in their labels and match none of the controllers of the input.
    ///
    /// ## Why it matters
    /// The controller does not come in. Installations of one controller differ in their labels and namespaces.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: controller, namespace: edge, labels: {app.kubernetes.io/name: ingress-nginx}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress-nginx}}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: controller, namespace: edge, labels: {app.kubernetes.io/name: ingress-nginx}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: edge}}}]
    /// ```
    ///
    /// ## No finding
    /// Where the input holds no pod with the usual labels of a controller.
    pub(super) const RULE: Rule = Rule {
        code: "NP240",
        name: "controller-not-selected",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let controllers = controllers(input);
    let Some(&first) = controllers.first() else {
        return;
    };
    for (policy, rule, index, peer) in input.peers() {
        let Peer::Pods { namespaces, pods } = peer else {
            continue;
        };
        let names_one = names_a_controller(pods)
            || matches!(namespaces, Namespaces::Matching(selector) if names_a_controller(selector));
        if rule.direction != Direction::Ingress || !names_one {
            continue;
        }
        let own = policy.meaning.id.namespace.as_ref();
        let is_selected = controllers.iter().any(|&class| {
            let class = input.reach.class(class);
            let mut matching = input.world.matching(own, namespaces);
            matching.any(|namespace| namespace == class.namespace) && pods.matches(class.labels)
        });
        if is_selected {
            continue;
        }
        let controller = input.reach.class(first);
        let message = format!(
            "this peer seems to mean an ingress controller, but {} is none of its pods",
            controller.name()
        );
        findings.add(
            Finding::new(&RULE, policy, rule.peer_path(index), message).with_fix(format!(
                "select namespace {} and the labels of its pods",
                controller.namespace
            )),
        );
    }
}

fn names_a_controller(selector: &Selector) -> bool {
    selector
        .constraints()
        .any(|(_, constraint)| match &constraint.values {
            Values::Only(values) => values.iter().any(|value| {
                value.contains("ingress-nginx")
                    || value.contains("nginx-ingress")
                    || value.contains("ingress-controller")
                    || value.contains("traefik")
            }),
            Values::Except(_) => false,
        })
}
