//! NP201: a policy that selects no pod.

use policy_core::FieldPath;

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Policies whose `podSelector` matches no pod (or pod template) of their namespace. Where the input holds no pod of
    /// that namespace, it is information only, and where it holds no pod at all there is no finding.
    ///
    /// ## Why it matters
    /// The policy isolates nobody: what it should protect stays open.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: wbe}}
    ///   policyTypes: [Ingress]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Ingress]
    /// ```
    ///
    /// ## No finding
    /// An empty `podSelector`. It is information only where selectors ask for labels which controllers put on pods when
    /// they make them, and where the namespace holds a custom resource for which an operator may make pods.
    pub(super) const RULE: Rule = Rule {
        code: "NP201",
        name: "selects-no-pod",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    if !input.world.has_pods() {
        return;
    }
    let path = FieldPath::root().field("spec").field("podSelector");
    for policy in &input.policies {
        let (namespace, subjects) = (&policy.meaning.id.namespace, &policy.meaning.subjects);
        let is_told = policy
            .problems
            .iter()
            .any(|problem| problem.path.starts_with(&path));
        if subjects.is_everything() || !subjects.is_satisfiable() || is_told {
            continue;
        }
        let severity = match input.world.has_match(namespace, subjects) {
            Some(true) => continue,
            Some(false) => Severity::Warning,
            None => Severity::Info,
        };
        let message = if input.world.is_on_host_network(namespace, subjects) {
            format!(
                "only pods of the host network have {subjects} in namespace {namespace}, and policies do not select those"
            )
        } else {
            format!("no pod of namespace {namespace} has {subjects}: the policy isolates nobody")
        };
        findings.add(
            Finding::new(&RULE, policy, path.clone(), message)
                .with_severity(severity)
                .with_fix(
                    "compare the selector with the labels of the pods or of the pod template",
                ),
        );
    }
}
