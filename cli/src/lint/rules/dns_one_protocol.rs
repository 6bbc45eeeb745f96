//! NP217: names asked for over one protocol only.

use policy_core::{Direction, Protocol};

use crate::lint::dns::{Lack, lacks};
use crate::lint::written::rules_path;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Pods that may ask name servers over UDP and not over TCP, or the other way round.
    ///
    /// ## Why it matters
    /// A resolver asks over UDP and repeats the question over TCP when the answer is too long. Such answers then fail, and
    /// only those.
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
        let (lacking, severity) = match lack.protocol {
            // A port without protocol is TCP: NP112 tells of that.
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
