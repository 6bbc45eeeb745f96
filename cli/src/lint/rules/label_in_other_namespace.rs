//! NP111: a `podSelector` that finds its pods only in another namespace.

use std::collections::BTreeMap;

use policy_core::policy::{Namespaces, Peer};
use policy_core::{PodId, Selector};

use super::split_peer;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// A peer with a `podSelector` alone that matches no pod of the policy's namespace, while pods of another namespace
    /// have these labels.
    ///
    /// ## Why it matters
    /// A `podSelector` alone speaks of the policy's own namespace. The pods that were meant are not allowed.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: db, namespace: shop, labels: {app: db}}
    /// ---
    /// kind: Pod
    /// metadata: {name: prometheus, namespace: ops, labels: {app: prometheus}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: db, namespace: shop}
    /// spec:
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {matchLabels: {app: prometheus}}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: db, namespace: shop, labels: {app: db}}
    /// ---
    /// kind: Pod
    /// metadata: {name: prometheus, namespace: ops, labels: {app: prometheus}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: db, namespace: shop}
    /// spec:
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from:
    ///     - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}
    ///       podSelector: {matchLabels: {app: prometheus}}
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP111",
        name: "label-in-other-namespace",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let mut known: BTreeMap<Selector, Option<PodId>> = BTreeMap::new();
    for (policy, rule, index, peer) in input.understood_peers() {
        let Peer::Pods {
            namespaces: Namespaces::Own,
            pods,
        } = peer
        else {
            continue;
        };
        let own = policy.meaning.id.namespace.as_ref();
        let is_half = split_peer::is_half(&rule, index);
        if is_half || input.world.has_match(own, pods) != Some(false) {
            continue;
        }
        let elsewhere = known.entry(pods.clone()).or_insert_with(|| {
            let found = input.world.pods().find(|pod| pods.matches(&pod.labels));
            found.map(|pod| pod.id.clone())
        });
        let Some(pod) = elsewhere else { continue };
        let path = rule.peer_path(index).field("podSelector");
        let message = format!(
            "no pod of namespace {own} has {pods}, but {pod} does: a podSelector alone speaks of the policy's own namespace"
        );
        findings.add(Finding::new(&RULE, policy, path, message).with_fix(format!(
            "add namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {}}}}} to this peer",
            pod.namespace
        )));
    }
}
