//! NP241: a network plugin that does not enforce policies.

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};
use crate::manifest::Content;

rule! {
    /// ## What it finds
    /// The `DaemonSet` of Flannel in an input with policies, where it holds none of a plugin that enforces policies.
    ///
    /// ## Why it matters
    /// The API server takes policies whether somebody enforces them or not. With Flannel alone they do nothing.
    ///
    /// ## Example
    /// ```yaml
    /// kind: DaemonSet
    /// metadata: {name: kube-flannel-ds, namespace: kube-flannel}
    /// spec: {template: {metadata: {labels: {app: flannel}}, spec: {hostNetwork: true}}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: DaemonSet
    /// metadata: {name: nopal, namespace: kube-system}
    /// spec: {template: {metadata: {labels: {app: nopal}}, spec: {hostNetwork: true}}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP241",
        name: "plugin-without-policies",
        severity: Severity::Error,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

/// What the `DaemonSets` of plugins that enforce policies are called, in part.
const ENFORCING: [&str; 8] = [
    "nopal",
    "calico",
    "cilium",
    "canal",
    "kube-router",
    "antrea",
    "weave",
    "network-polic",
];

fn check(input: &Input<'_>, findings: &mut Findings) {
    if input.policies.is_empty() {
        return;
    }
    let sets = || {
        let objects = input.objects.iter();
        objects.filter(|object| {
            object.reference.kind == "DaemonSet" && matches!(object.content, Content::Workload(_))
        })
    };
    let is_enforcing = |name: &str| ENFORCING.iter().any(|known| name.contains(known));
    if sets().any(|set| is_enforcing(&set.reference.name)) {
        return;
    }
    for set in sets().filter(|set| set.reference.name.starts_with("kube-flannel")) {
        let message =
            "Flannel does not enforce policies: those of this input do nothing".to_owned();
        findings.add(
            Finding::of_object(&RULE, &set.reference, &set.place, message)
                .with_fix("run a plugin that enforces policies, or nopal, beside it"),
        );
    }
}
