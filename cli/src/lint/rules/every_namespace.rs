//! NP110: a peer that is every pod of the cluster.

use policy_core::Direction;
use policy_core::policy::{Namespaces, Peer, Ports};

use crate::lint::meaning::is_every_namespace;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// `namespaceSelector: {}` without a `podSelector` that narrows it; and selectors that only ask for
    /// `kubernetes.io/metadata.name` to exist, which mean the same.
    ///
    /// ## Why it matters
    /// It is every pod of every namespace, those of other teams and those that come later included.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - from: [{namespaceSelector: {}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}]
    /// ```
    ///
    /// ## No finding
    /// Port 53 alone: allowing DNS wherever the DNS server runs is common and harmless, and a DNS server is there for all.
    /// Egress on other listed ports is information: collectors of metrics need it.
    pub(super) const RULE: Rule = Rule {
        code: "NP110",
        name: "every-namespace",
        severity: Severity::Warning,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule, index, peer) in input.peers() {
        let Peer::Pods {
            namespaces: Namespaces::Matching(namespaces),
            pods,
        } = peer
        else {
            continue;
        };
        if is_every_namespace(namespaces) && pods.is_everything() && !rule.is_about_names() {
            let path = rule.peer_path(index).field("namespaceSelector");
            let message = if namespaces.is_everything() {
                "an empty namespaceSelector matches every namespace: this peer is every pod of the cluster"
            } else {
                "every namespace has the label kubernetes.io/metadata.name: this peer is every pod of the cluster"
            };
            let severity = match (rule.direction, rule.ports) {
                (Direction::Egress, Ports::Listed(_)) => Severity::Info,
                _ => Severity::Warning,
            };
            findings.add(
                Finding::new(&RULE, policy, path, message.to_owned())
                    .with_severity(severity)
                    .with_fix("name the namespaces, or add a podSelector"),
            );
        }
    }
}
