//! NP233: replicas that a policy tells apart.

use std::collections::BTreeMap;

use policy_core::{FieldPath, Labels};

use crate::lint::world::is_injected;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};
use crate::manifest::{Content, Object};

rule! {
    /// ## What it finds
    /// Policies whose `podSelector` matches some pods of one owner (a `ReplicaSet`, a `StatefulSet`) and not the others.
    ///
    /// ## Why it matters
    /// Replicas are meant to be alike. Somebody has changed the labels of one, and now it is treated differently.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web-a, namespace: shop, labels: {app: web, tier: front}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: a, controller: true}]}
    /// ---
    /// kind: Pod
    /// metadata: {name: web-b, namespace: shop, labels: {app: web}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: a, controller: true}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {tier: front}}
    ///   policyTypes: [Ingress]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web-a, namespace: shop, labels: {app: web, tier: front}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: a, controller: true}]}
    /// ---
    /// kind: Pod
    /// metadata: {name: web-b, namespace: shop, labels: {app: web}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: a, controller: true}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    /// ```
    ///
    /// ## No finding
    /// Selectors by labels that tell replicas apart on purpose, such as `apps.kubernetes.io/pod-index`.
    pub(super) const RULE: Rule = Rule {
        code: "NP233",
        name: "unlike-replicas",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let mut owners: BTreeMap<(&str, &str), Vec<(&Object, Labels)>> = BTreeMap::new();
    for object in input.objects {
        let Content::Pod(pod) = &object.content else {
            continue;
        };
        let mut references = pod.metadata.owner_references.iter().flatten();
        let Some(owner) = references.find(|owner| owner.controller == Some(true)) else {
            continue;
        };
        let namespace = object.reference.namespace.as_deref().unwrap_or_default();
        let labels = pod.metadata.labels.iter().flatten().collect();
        owners
            .entry((namespace, &owner.uid))
            .or_default()
            .push((object, labels));
    }
    owners.retain(|_, pods| pods.iter().any(|(_, labels)| *labels != pods[0].1));
    if owners.is_empty() {
        return;
    }
    let path = FieldPath::root().field("spec").field("podSelector");
    for policy in &input.policies {
        let subjects = &policy.meaning.subjects;
        if subjects.constraints().any(|(key, _)| is_injected(key)) {
            continue;
        }
        for ((namespace, _), pods) in &owners {
            if *namespace != policy.meaning.id.namespace.as_ref() {
                continue;
            }
            let (selected, others): (Vec<_>, Vec<_>) = pods
                .iter()
                .partition(|(_, labels)| subjects.matches(labels));
            if let (Some((one, _)), Some((other, _))) = (selected.first(), others.first()) {
                let message = format!(
                    "the policy selects {} and not {}, which is a replica of the same owner",
                    one.reference, other.reference
                );
                findings.add(
                    Finding::new(&RULE, policy, path.clone(), message)
                        .with_fix("give both pods the labels of their template")
                        .with_related(other.place.clone(), "not selected"),
                );
            }
        }
    }
}
