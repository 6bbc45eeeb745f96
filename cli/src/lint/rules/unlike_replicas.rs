//! NP233: replicas that a policy tells apart.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::policy::Peer;
use policy_core::{FieldPath, Labels, Selector};

use crate::lint::world::is_injected;
use crate::lint::{Certainty, Finding, Findings, Input, LintPolicy, Rule, Severity};
use crate::manifest::{Content, Object};

rule! {
    /// ## What it finds
    /// Policies and peers whose `podSelector` matches some pods of one owner (a `ReplicaSet`, a `StatefulSet`) and not the
    /// others.
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
        let own = policy.meaning.id.namespace.as_ref();
        let subjects = &policy.meaning.subjects;
        let found = unlike(&owners, subjects, |namespace| namespace == own);
        findings.extend(found.map(|pair| finding(policy, &path, "policy", pair)));
    }
    for (policy, rule, index, peer) in input.understood_peers() {
        let Peer::Pods { namespaces, pods } = peer else {
            continue;
        };
        let own = policy.meaning.id.namespace.as_ref();
        let matching: BTreeSet<&str> = input.world.matching(own, namespaces).collect();
        let path = rule.peer_path(index).field("podSelector");
        let found = unlike(&owners, pods, |namespace| matching.contains(namespace));
        findings.extend(found.map(|pair| finding(policy, &path, "peer", pair)));
    }
}

/// For each owner in these namespaces of whose pods a selector matches some: one of these, and one of the others.
fn unlike<'o>(
    owners: &'o BTreeMap<(&str, &str), Vec<(&'o Object, Labels)>>,
    selector: &'o Selector,
    is_within: impl Fn(&str) -> bool,
) -> impl Iterator<Item = (&'o Object, &'o Object)> {
    let is_on_purpose = selector.constraints().any(|(key, _)| is_injected(key));
    let within = owners
        .iter()
        .filter(move |((namespace, _), _)| !is_on_purpose && is_within(namespace));
    within.filter_map(|(_, pods)| {
        let (selected, others): (Vec<_>, Vec<_>) = pods
            .iter()
            .partition(|(_, labels)| selector.matches(labels));
        Some((selected.first()?.0, others.first()?.0))
    })
}

fn finding(
    policy: &LintPolicy<'_>,
    path: &FieldPath,
    who: &str,
    (one, other): (&Object, &Object),
) -> Finding {
    let message = format!(
        "the {who} selects {} and not {}, which is a replica of the same owner",
        one.reference, other.reference
    );
    Finding::new(&RULE, policy, path.clone(), message)
        .with_fix("give both pods the labels of their template")
        .with_related(other.place.clone(), "not selected")
}
