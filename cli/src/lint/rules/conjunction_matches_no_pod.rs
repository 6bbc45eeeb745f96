//! NP204: a namespace and pods that do not come together.

use std::collections::BTreeMap;

use policy_core::policy::{Namespaces, Peer};
use policy_core::{PodId, Selector};

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Peers with a `namespaceSelector` and a `podSelector`, where the namespaces are there and have pods, but none of those
    /// pods has the labels. It is a warning where pods with the labels are in other namespaces, and information otherwise.
    ///
    /// ## Why it matters
    /// Both selectors of one peer have to match. This peer is nobody.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: prometheus, namespace: monitoring, labels: {app: prometheus}}
    /// ---
    /// kind: Pod
    /// metadata: {name: grafana, namespace: ops, labels: {app: grafana}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from:
    ///     - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}
    ///       podSelector: {matchLabels: {app: prometheus}}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: prometheus, namespace: monitoring, labels: {app: prometheus}}
    /// ---
    /// kind: Pod
    /// metadata: {name: grafana, namespace: ops, labels: {app: grafana}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from:
    ///     - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}
    ///       podSelector: {matchLabels: {app: prometheus}}
    /// ```
    ///
    /// ## No finding
    /// Where the input holds no pod of one of the namespaces.
    pub(super) const RULE: Rule = Rule {
        code: "NP204",
        name: "conjunction-matches-no-pod",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let mut elsewhere: BTreeMap<&Selector, Option<PodId>> = BTreeMap::new();
    for (policy, rule, index, peer) in input.understood_peers() {
        let Peer::Pods {
            namespaces: namespaces @ Namespaces::Matching(selector),
            pods,
        } = peer
        else {
            continue;
        };
        if pods.is_everything() || !pods.is_satisfiable() {
            continue;
        }
        let own = policy.meaning.id.namespace.as_ref();
        let mut matching = input.world.matching(own, namespaces).peekable();
        if matching.peek().is_none()
            || matching.any(|namespace| input.world.has_match(namespace, pods) != Some(false))
        {
            continue;
        }
        let known = elsewhere.entry(pods).or_insert_with(|| {
            let found = input.world.pods().find(|pod| pods.matches(&pod.labels));
            found.map(|pod| pod.id.clone())
        });
        let whose = if selector.is_everything() {
            "of any namespace".to_owned()
        } else {
            format!("of the namespaces with {selector}")
        };
        let (severity, also, fix) = match known {
            Some(pod) => (
                Severity::Warning,
                format!(", but {pod} does"),
                format!("select namespace {} if its pods are meant", pod.namespace),
            ),
            None => (
                Severity::Info,
                String::new(),
                "compare the selector with the labels of the pods".to_owned(),
            ),
        };
        let message = format!("no pod {whose} has {pods}{also}: this peer is nobody");
        findings.add(
            Finding::new(&RULE, policy, rule.peer_path(index), message)
                .with_severity(severity)
                .with_fix(fix),
        );
    }
}
