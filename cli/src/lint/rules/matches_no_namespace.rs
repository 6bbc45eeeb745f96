//! NP203: a namespace selector that matches no namespace.

use policy_core::cluster::NAMESPACE_NAME_LABEL;
use policy_core::policy::{Namespaces, Peer};

use super::namespace_by_name;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};
use crate::manifest::Content;

rule! {
    /// ## What it finds
    /// A `namespaceSelector` that matches none of the namespaces of the input, where the input defines namespaces.
    ///
    /// ## Why it matters
    /// The peer allows nobody: often the label is missing on the Namespace.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Namespace
    /// metadata: {name: ops, labels: {team: ops}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: db, namespace: shop}
    /// spec:
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{namespaceSelector: {matchLabels: {team: opps}}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Namespace
    /// metadata: {name: ops, labels: {team: ops}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: db, namespace: shop}
    /// spec:
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{namespaceSelector: {matchLabels: {team: ops}}}]
    /// ```
    ///
    /// ## No finding
    /// Selectors by `kubernetes.io/metadata.name`: manifests seldom define the namespaces of others, such as kube-system.
    pub(super) const RULE: Rule = Rule {
        code: "NP203",
        name: "matches-no-namespace",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let defines = |content: &Content| matches!(content, Content::Namespace(_));
    if !input.objects.iter().any(|object| defines(&object.content)) {
        return;
    }
    for (policy, rule, index, peer) in input.understood_peers() {
        let Peer::Pods {
            namespaces: namespaces @ Namespaces::Matching(selector),
            ..
        } = peer
        else {
            continue;
        };
        let asks_by_name = selector
            .constraints()
            .any(|(key, _)| key == NAMESPACE_NAME_LABEL);
        let is_told = !selector.is_satisfiable() || namespace_by_name::wanted(selector).is_some();
        if asks_by_name || is_told {
            continue;
        }
        let own = policy.meaning.id.namespace.as_ref();
        if input.world.matching(own, namespaces).next().is_some() {
            continue;
        }
        let path = rule.peer_path(index).field("namespaceSelector");
        let message = format!("no namespace has {selector}: this peer is nobody");
        findings.add(Finding::new(&RULE, policy, path, message).with_fix(
            "label the namespace that is meant, or select it by kubernetes.io/metadata.name",
        ));
    }
}
