//! NP220: a peer that is known by its node's address alone.

use policy_core::policy::Peer;

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Peers whose only pods use their node's network. It is a warning where the peer is whole namespaces.
    ///
    /// ## Why it matters
    /// Such pods have the address of their node, and no `podSelector` or `namespaceSelector` matches that. The peer is
    /// nobody. This is how rules for ingress controllers and node agents often fail.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: ingress, namespace: ops, labels: {app: ingress}}
    /// spec: {hostNetwork: true}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from:
    ///     - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}
    ///       podSelector: {matchLabels: {app: ingress}}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: ingress, namespace: ops, labels: {app: ingress}}
    /// spec: {hostNetwork: true}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from:
    ///     - ipBlock: {cidr: 192.0.2.0/24}
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP220",
        name: "host-network-peer",
        severity: Severity::Error,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    if input.world.host_pods().next().is_none() {
        return;
    }
    for (policy, rule, index, peer) in input.understood_peers() {
        let Peer::Pods { namespaces, pods } = peer else {
            continue;
        };
        let own = policy.meaning.id.namespace.as_ref();
        let mut host_pods = input
            .world
            .matching(own, namespaces)
            .flat_map(|namespace| input.world.host_pods_in(namespace))
            .filter(|pod| pods.matches(&pod.labels));
        let Some(pod) = host_pods.next() else {
            continue;
        };
        if input.world.selected(own, namespaces, pods).next().is_some() {
            continue;
        }
        // Of a whole namespace the input may lack the other pods.
        let severity = if pods.is_everything() {
            Severity::Warning
        } else {
            Severity::Error
        };
        let message = format!(
            "the only pods of this peer (such as {}) use their node's network, where selectors do not find them: this peer is nobody",
            pod.id
        );
        findings.add(
            Finding::new(&RULE, policy, rule.peer_path(index), message)
                .with_severity(severity)
                .with_fix("use an ipBlock with the addresses of the nodes"),
        );
    }
}
