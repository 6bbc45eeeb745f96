//! NP242: policies that are not read.

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Policies of Calico, Cilium, Istio and Antrea, and the cluster-wide policies of the Kubernetes project. One finding for
    /// each kind.
    ///
    /// ## Why it matters
    /// nopal does not read them. They can allow or deny what the other policies do not, so what nopal says is about a part of
    /// what is in force.
    ///
    /// ## Example
    /// ```yaml
    /// kind: CiliumNetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec: {endpointSelector: {}}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP242",
        name: "foreign-policy",
        severity: Severity::Warning,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let mut told = std::collections::BTreeSet::new();
    for policy in input.foreign {
        let kind = (&policy.api_version, &policy.reference.kind);
        if !told.insert(kind) {
            continue;
        }
        let count = input.foreign.iter();
        let count = count.filter(|other| (&other.api_version, &other.reference.kind) == kind);
        let others = match count.count() - 1 {
            0 => String::new(),
            others => format!(" (and {others} more of its kind)"),
        };
        let message = format!(
            "{} of {} is not read{others}: what is said of connections leaves it out",
            policy.reference.kind, policy.api_version
        );
        findings.add(Finding::of_object(
            &RULE,
            &policy.reference,
            &policy.place,
            message,
        ));
    }
}
