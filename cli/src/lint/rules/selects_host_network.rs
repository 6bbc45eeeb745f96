//! NP219: a policy for pods that policies do not reach.

use policy_core::FieldPath;

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// A `podSelector` whose labels pods with `hostNetwork: true` have.
    ///
    /// ## Why it matters
    /// Such pods use the address of their node. nopal and most other data planes do not apply policies to them: what the
    /// policy should protect stays open.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: exporter, namespace: ops, labels: {app: exporter}}
    /// spec: {hostNetwork: true}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: exporter, namespace: ops}
    /// spec:
    ///   podSelector: {matchLabels: {app: exporter}}
    ///   policyTypes: [Ingress]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: exporter, namespace: ops, labels: {app: exporter}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: exporter, namespace: ops}
    /// spec:
    ///   podSelector: {matchLabels: {app: exporter}}
    ///   policyTypes: [Ingress]
    /// ```
    ///
    /// ## No finding
    /// An empty `podSelector`, which is about the other pods of the namespace too.
    pub(super) const RULE: Rule = Rule {
        code: "NP219",
        name: "selects-host-network",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let path = FieldPath::root().field("spec").field("podSelector");
    for policy in &input.policies {
        let (namespace, subjects) = (&policy.meaning.id.namespace, &policy.meaning.subjects);
        if subjects.is_everything() {
            continue;
        }
        let mut pods = input.world.host_pods_in(namespace).iter();
        if let Some(pod) = pods.find(|pod| subjects.matches(&pod.labels)) {
            let message = format!(
                "{} uses its node's network: the policy does not isolate it",
                pod.id
            );
            findings.add(
                Finding::new(&RULE, policy, path.clone(), message)
                    .with_fix("protect its ports on the node, or let it do without hostNetwork"),
            );
        }
    }
}
