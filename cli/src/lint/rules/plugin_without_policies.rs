//! NP241: a network plugin that does not enforce policies.

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};
use crate::manifest::{Content, Object};

rule! {
    /// ## What it finds
    /// The `DaemonSet` of Flannel, or of kindnet from before it enforced policies (August 2024), in an input with policies,
    /// where it holds none of a plugin that enforces policies.
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
    for set in sets() {
        let plugin = if set.reference.name.starts_with("kube-flannel") {
            "Flannel"
        } else if is_old_kindnet(set) {
            "kindnet of this version"
        } else {
            continue;
        };
        let message = format!("{plugin} does not enforce policies: those of this input do nothing");
        findings.add(
            Finding::of_object(&RULE, &set.reference, &set.place, message)
                .with_fix("run a plugin that enforces policies, or nopal, beside it"),
        );
    }
}

/// The day of kindnet's first image that enforces policies, which kind 0.24 brought, as its tags have it.
const FIRST_ENFORCING_KINDNET: &str = "20240813";

/// Whether some container is of an image of kindnet (`kindest/kindnetd:v20230511-dc714da8`) from before that day.
fn is_old_kindnet(set: &Object) -> bool {
    let spec = set.pod().and_then(|(_, spec)| spec);
    let containers = spec.into_iter().flat_map(|spec| &spec.containers);
    let mut images = containers.filter_map(|container| container.image.as_deref());
    images.any(|image| {
        let tag = image.split_once("kindnetd:v").map(|(_, tag)| tag);
        let day = tag.and_then(|tag| tag.get(..8));
        day.is_some_and(|day| {
            day.bytes().all(|letter| letter.is_ascii_digit()) && day < FIRST_ENFORCING_KINDNET
        })
    })
}
