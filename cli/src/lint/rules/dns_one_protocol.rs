//! NP217: names asked for over one protocol only.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use policy_core::{Direction, Protocol};

use crate::lint::dns::{Lack, lacks};
use crate::lint::written::rules_path;
use crate::lint::{Certainty, Finding, Findings, Input, LintPolicy, Rule, Severity};

rule! {
    /// ## What it finds
    /// Pods that may ask name servers over UDP and not over TCP, or the other way round. Without UDP it is a warning.
    ///
    /// ## Why it matters
    /// A resolver asks over UDP and repeats the question over TCP when the answer is too long. Such answers then fail, and
    /// only those. Without UDP no question comes through that is not asked again over TCP.
    ///
    /// ## Example
    /// ```yaml
    /// egress:
    /// - to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]
    ///   ports: [{protocol: UDP, port: 53}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// egress:
    /// - to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]
    ///   ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP217",
        name: "dns-over-one-protocol",
        severity: Severity::Info,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let lacks = lacks(input);
    let alone = |lack: &&Lack| {
        let other = |other: &Lack| other.policy == lack.policy && other.protocol != lack.protocol;
        !lacks.iter().any(other)
    };
    for lack in lacks.iter().filter(alone) {
        let policy = &input.policies[lack.policy];
        if lack.protocol == Protocol::Udp && leaves_protocol_out(policy) {
            continue;
        }
        let (lacking, severity) = match lack.protocol {
            // Every question is asked over UDP first.
            Protocol::Udp => (Protocol::Udp, Severity::Warning),
            other => (other, Severity::Info),
        };
        let message = format!("DNS is not allowed over {lacking}");
        findings.add(
            Finding::new(&RULE, policy, rules_path(Direction::Egress), message)
                .with_severity(severity)
                .with_fix(format!(
                    "add an entry with protocol: {lacking} and port: 53"
                ))
                .at_key(policy),
        );
    }
}

/// Whether UDP is missing because a port 53 names no protocol and so is one of TCP: NP112 tells of that.
fn leaves_protocol_out(policy: &LintPolicy<'_>) -> bool {
    let rules = policy.rules_of(Direction::Egress);
    let mut ports = rules.iter().flat_map(|rule| rule.written_ports);
    ports.any(|port| port.protocol.is_none() && port.port == Some(IntOrString::Int(53)))
}
