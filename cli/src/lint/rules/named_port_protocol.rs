//! NP208: a named port with another protocol than the pods give it.

use super::named_port_absent::named_ports;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Port names that the destinations have, but for another protocol than the entry's.
    ///
    /// ## Why it matters
    /// Name and protocol must both fit, so the entry allows nothing. An entry without `protocol` is one for TCP.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: dns, namespace: shop, labels: {app: dns}}
    /// spec: {containers: [{name: dns, ports: [{name: dns, containerPort: 53, protocol: UDP}]}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: dns, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: dns}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - ports: [{port: dns}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: dns, namespace: shop, labels: {app: dns}}
    /// spec: {containers: [{name: dns, ports: [{name: dns, containerPort: 53, protocol: UDP}]}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: dns, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: dns}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - ports: [{port: dns, protocol: UDP}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP208",
        name: "named-port-protocol",
        severity: Severity::Error,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for named in named_ports(input) {
        let Some(other) = named.protocols.first() else {
            continue;
        };
        if named.protocols.contains(&named.protocol) {
            continue;
        }
        let message = format!(
            "port {:?} of {} is one of {other}, not of {}: the entry allows nothing",
            named.name,
            named.whose(),
            named.protocol
        );
        findings.add(
            Finding::new(
                &RULE,
                named.policy,
                named.rule.port_path(named.index),
                message,
            )
            .with_fix(format!("write protocol: {other}")),
        );
    }
}
