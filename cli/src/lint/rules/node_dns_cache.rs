//! NP218: a DNS rule that forgets the cache on the node.

use std::collections::BTreeSet;

use policy_core::{Direction, Protocol};

use crate::lint::dns::{
    NODE_CACHE, allows_asking, asks_the_cluster, first_allowing, uses_node_cache,
};
use crate::lint::meaning::block_addresses;
use crate::lint::written::rules_path;
use crate::lint::{Certainty, ClassId, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Pods that may ask the pods of the cluster's DNS but not the node-local DNS cache at 169.254.20.10, where the input
    /// holds such a cache.
    ///
    /// ## Why it matters
    /// With the cache, pods ask an address of their node and not the pods of `CoreDNS`. No selector matches that address.
    ///
    /// ## Example
    /// ```yaml
    /// kind: DaemonSet
    /// metadata: {name: node-local-dns, namespace: kube-system}
    /// spec: {template: {metadata: {labels: {k8s-app: node-local-dns}}, spec: {hostNetwork: true}}}
    /// ---
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: dns, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Egress]
    ///   egress:
    ///   - to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]
    ///     ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: DaemonSet
    /// metadata: {name: node-local-dns, namespace: kube-system}
    /// spec: {template: {metadata: {labels: {k8s-app: node-local-dns}}, spec: {hostNetwork: true}}}
    /// ---
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: dns, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Egress]
    ///   egress:
    ///   - to:
    ///     - {namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}
    ///     - ipBlock: {cidr: 169.254.20.10/32}
    ///     ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP218",
        name: "node-dns-cache",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    if !uses_node_cache(input) {
        return;
    }
    let mut told = BTreeSet::new();
    for (class, _) in input.reach.numbered() {
        let Some(index) = first_allowing(input, class) else {
            continue;
        };
        if !asks_the_cluster(input, class) || !asks_pods_alone(input, class) || !told.insert(index)
        {
            continue;
        }
        let policy = &input.policies[index];
        let message = format!(
            "{} may ask the pods of the cluster's DNS, but not the DNS cache on its node, {NODE_CACHE}",
            input.reach.class(class).name()
        );
        findings.add(
            Finding::new(&RULE, policy, rules_path(Direction::Egress), message)
                .with_fix(format!(
                    "add - ipBlock: {{cidr: {NODE_CACHE}/32}} to the DNS rule"
                ))
                .at_key(policy),
        );
    }
}

/// Whether some rule is for DNS, and none lets packets to the cache pass.
fn asks_pods_alone(input: &Input<'_>, class: ClassId) -> bool {
    let isolating = input.reach.isolating(class, Direction::Egress).iter();
    let policies = isolating.map(|&policy| &input.policies[policy as usize]);
    let rules = policies.flat_map(|policy| policy.rules_of(Direction::Egress));
    let asking: Vec<_> = rules
        .filter(|rule| allows_asking(rule, Protocol::Udp))
        .collect();
    let reaches_cache = asking.iter().any(|rule| {
        matches!(rule.peers, policy_core::policy::Peers::Everyone)
            || block_addresses(rule.peers).contains(NODE_CACHE.into())
    });
    !asking.is_empty() && !reaches_cache
}
