//! NP237: a namespace trusted for a label.

use policy_core::cluster::NAMESPACE_NAME_LABEL;
use policy_core::policy::{Namespaces, Peer};

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Ingress peers whose `namespaceSelector` asks for labels of one's own, without the name of the namespace.
    ///
    /// ## Why it matters
    /// Whoever may change labels of a namespace, or make namespaces, can let it in. Only the label
    /// `kubernetes.io/metadata.name` cannot be chosen. Where tenants manage their own namespaces, that matters.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - from: [{namespaceSelector: {matchLabels: {team: ops}}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}}]
    /// ```
    ///
    /// ## No finding
    /// Labels below `kubernetes.io`, and selectors that match every namespace (NP110).
    pub(super) const RULE: Rule = Rule {
        code: "NP237",
        name: "trusted-label",
        severity: Severity::Info,
        certainty: Certainty::Heuristic,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule, index, peer) in input.peers() {
        let Peer::Pods {
            namespaces: Namespaces::Matching(selector),
            ..
        } = peer
        else {
            continue;
        };
        let is_ingress = rule.direction == policy_core::Direction::Ingress;
        let names_it = selector.constraints().any(|(key, constraint)| {
            !constraint.may_lack && (key == NAMESPACE_NAME_LABEL || key.contains("kubernetes.io/"))
        });
        let demands = selector
            .constraints()
            .any(|(_, constraint)| !constraint.may_lack);
        if !is_ingress || names_it || !demands || !selector.is_satisfiable() {
            continue;
        }
        let path = rule.peer_path(index).field("namespaceSelector");
        let message =
            format!("whoever may label a namespace with {selector} lets its pods in here");
        findings.add(Finding::new(&RULE, policy, path, message).with_fix(format!(
            "add {NAMESPACE_NAME_LABEL} where tenants label namespaces"
        )));
    }
}
