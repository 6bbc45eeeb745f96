//! NP133: a policy that names no namespace.

use policy_core::FieldPath;

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};
use crate::manifest::{Object, Part, UNSTATED_NAMESPACE};

rule! {
    /// ## What it finds
    /// Policies without `metadata.namespace`. It is a warning where other policies of the input name theirs, or where pods
    /// name another namespace and none of `default` is selected, and information otherwise.
    ///
    /// ## Why it matters
    /// The policy lands in whatever namespace is current when it is applied, and policies protect their own namespace
    /// alone.
    ///
    /// ## Example
    /// ```yaml
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec: {podSelector: {}, policyTypes: [Ingress]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: api}
    /// spec: {podSelector: {}, policyTypes: [Ingress]}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec: {podSelector: {}, policyTypes: [Ingress]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: api, namespace: shop}
    /// spec: {podSelector: {}, policyTypes: [Ingress]}
    /// ```
    ///
    /// ## No finding
    /// When the command was given the namespace with `--namespace`. A set of manifests that names no namespace anywhere
    /// is meant to be applied to any, as charts are: no warning.
    pub(super) const RULE: Rule = Rule {
        code: "NP133",
        name: "namespace-missing",
        severity: Severity::Warning,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let metadata = FieldPath::root().field("metadata");
    let path = metadata.field("namespace");
    let (named, unnamed): (Vec<_>, Vec<_>) = input
        .policies
        .iter()
        .partition(|policy| policy.is_written(&path));
    let names_another = |object: &Object| {
        object.is_placed
            && object.pod().is_some()
            && object.reference.namespace.as_deref() != Some(UNSTATED_NAMESPACE)
    };
    let others_are_named = input.objects.iter().any(names_another);
    for policy in unnamed {
        if policy.object.is_placed {
            continue;
        }
        let subjects = &policy.meaning.subjects;
        let has_pods = input.world.has_match(UNSTATED_NAMESPACE, subjects) == Some(true);
        let severity = if !named.is_empty() || (others_are_named && !has_pods) {
            Severity::Warning
        } else {
            Severity::Info
        };
        let message = "no namespace is named: the policy lands in the current one, and is read here as one of namespace default";
        let mut finding = Finding::new(&RULE, policy, path.clone(), message.to_owned())
            .with_severity(severity)
            .with_fix("write metadata.namespace, or give --namespace");
        finding.place = policy
            .policy
            .fields
            .place(&metadata.field("name"), Part::Value);
        findings.add(finding);
    }
}
