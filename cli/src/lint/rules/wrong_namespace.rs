//! NP238: a policy in the wrong namespace.

use std::collections::BTreeSet;
use std::sync::Arc;

use policy_core::{FieldPath, Pod};

use crate::lint::world::asks_for_injected;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Policies in a namespace without pods, whose `podSelector` matches pods of another namespace.
    ///
    /// ## Why it matters
    /// A policy is about pods of its own namespace alone. Where it is, it protects nobody.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: default}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    /// ```
    ///
    /// ## No finding
    /// An empty `podSelector`, and where a policy of the other namespace has the same name. Policies and pods that name no
    /// namespace: they may be applied to the same one. Namespaces with a custom resource for which an operator may make
    /// pods.
    pub(super) const RULE: Rule = Rule {
        code: "NP238",
        name: "wrong-namespace",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let path = FieldPath::root().field("metadata").field("namespace");
    let names = input.policies.iter();
    let names: BTreeSet<(&str, &str)> = names
        .map(|policy| (policy.meaning.id.namespace.as_ref(), policy.name()))
        .collect();
    for policy in &input.policies {
        let (own, subjects) = (&policy.meaning.id.namespace, &policy.meaning.subjects);
        let is_silent = subjects.is_everything()
            || !subjects
                .constraints()
                .any(|(_, demanded)| !demanded.may_lack)
            || asks_for_injected(subjects)
            || input.world.is_partly_shown(own)
            || !policy.object.is_placed
            || !input.world.pods_in(own).is_empty()
            || !input.world.host_pods_in(own).is_empty();
        if is_silent {
            continue;
        }
        let mut pods = input.world.pods();
        let is_meant =
            |pod: &&Arc<Pod>| subjects.matches(&pod.labels) && input.world.is_placed(&pod.id);
        let Some(pod) = pods.find(is_meant) else {
            continue;
        };
        let other = pod.id.namespace.as_ref();
        if names.contains(&(other, policy.name())) {
            continue;
        }
        let message = format!(
            "namespace {own} has no pods, and {} in namespace {other} has {subjects}: the policy does not protect it there",
            pod.id
        );
        findings.add(
            Finding::new(&RULE, policy, path.clone(), message)
                .with_fix(format!("write namespace: {other}")),
        );
    }
}
