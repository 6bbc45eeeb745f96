//! NP202: a peer of the own namespace that is no pod.

use std::collections::BTreeMap;

use policy_core::Selector;
use policy_core::policy::{Namespaces, Peer};

use super::split_peer;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Peers with a `podSelector` alone that match no pod of the policy's namespace, nor any pod elsewhere (for those see
    /// NP111).
    ///
    /// ## Why it matters
    /// The peer allows nobody: often the label is misspelt, or stands on the workload and not on its pod template.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: db, namespace: shop}
    /// spec:
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {matchLabels: {app: wbe}}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: db, namespace: shop}
    /// spec:
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {matchLabels: {app: web}}}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP202",
        name: "peer-matches-no-pod",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let mut elsewhere: BTreeMap<&Selector, bool> = BTreeMap::new();
    for (policy, rule, index, peer) in input.understood_peers() {
        let Peer::Pods {
            namespaces: Namespaces::Own,
            pods,
        } = peer
        else {
            continue;
        };
        let own = policy.meaning.id.namespace.as_ref();
        let is_absent = pods.is_satisfiable()
            && !split_peer::is_half(&rule, index)
            && !input.world.is_on_host_network(own, pods)
            && input.world.has_match(own, pods) == Some(false);
        if !is_absent {
            continue;
        }
        let is_elsewhere = elsewhere
            .entry(pods)
            .or_insert_with(|| input.world.pods().any(|pod| pods.matches(&pod.labels)));
        if *is_elsewhere {
            continue;
        }
        let path = rule.peer_path(index).field("podSelector");
        let message = format!("no pod of namespace {own} has {pods}: this peer is nobody");
        findings.add(
            Finding::new(&RULE, policy, path, message).with_fix(
                "compare the selector with the labels of the pods or of the pod template",
            ),
        );
    }
}
