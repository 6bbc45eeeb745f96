//! NP226: a namespace without any policy.

use std::collections::{BTreeMap, BTreeSet};

use super::not_isolated::is_of_the_cluster;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};
use crate::manifest::{Content, Object};

rule! {
    /// ## What it finds
    /// Namespaces with pods or workloads and without a single policy. It is information: which namespaces should be open
    /// is for people to decide, and their policies may be kept elsewhere.
    ///
    /// ## Why it matters
    /// All pods there can be reached by everyone and can reach everyone.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Namespace
    /// metadata: {name: shop}
    /// ---
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Namespace
    /// metadata: {name: shop}
    /// ---
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: default-deny, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress, Egress]
    /// ```
    ///
    /// ## No finding
    /// Namespaces of the cluster itself, such as `kube-system`; namespaces that policies of other projects (Calico, Cilium)
    /// speak of, and all namespaces where such policies are for the whole cluster.
    pub(super) const RULE: Rule = Rule {
        code: "NP226",
        name: "no-policy",
        severity: Severity::Info,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let is_for_all = |policy: &crate::manifest::ForeignPolicy| policy.reference.namespace.is_none();
    if input.foreign.iter().any(is_for_all) {
        return;
    }
    let foreign = input.foreign.iter();
    let foreign = foreign.filter_map(|policy| policy.reference.namespace.as_deref());
    let own = input.policies.iter();
    let own = own.map(|policy| policy.meaning.id.namespace.as_ref());
    let protected: BTreeSet<&str> = own.chain(foreign).collect();
    let mut open: BTreeMap<&str, &Object> = BTreeMap::new();
    for object in input.objects {
        let namespace = object.reference.namespace.as_deref().unwrap_or_default();
        let makes_pods = matches!(object.content, Content::Pod(_) | Content::Workload(_));
        let is_open = makes_pods
            && !protected.contains(namespace)
            && !is_of_the_cluster(namespace)
            && !input.world.pods_in(namespace).is_empty();
        if is_open {
            open.entry(namespace).or_insert(object);
        }
    }
    for (namespace, object) in open {
        let message =
            format!("namespace {namespace} has no policy: its pods are open in both directions");
        findings.add(
            Finding::of_object(&RULE, &object.reference, &object.place, message)
                .with_fix("add a policy with podSelector: {} and policyTypes: [Ingress, Egress]"),
        );
    }
}
