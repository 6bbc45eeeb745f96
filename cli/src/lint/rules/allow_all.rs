//! NP106: a rule that allows everything.

use policy_core::Protocol;
use policy_core::policy::Peers;

use crate::lint::meaning::numbered;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Rules without peers whose ports are all ports, such as `- {}`.
    ///
    /// ## Why it matters
    /// Such a rule undoes the policy's isolation for its direction, and that of every other policy on the same pods,
    /// since policies only add.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - {}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - from: [{podSelector: {matchLabels: {app: web}}}]
    ///   ports: [{protocol: TCP, port: 8080}]
    /// ```
    ///
    /// ## No finding
    /// A rule without peers that lists ports is a common way to publish a port. `ingress: []` denies everything.
    pub(super) const RULE: Rule = Rule {
        code: "NP106",
        name: "allow-all",
        severity: Severity::Warning,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule) in input.rules() {
        let ports = numbered(rule.ports);
        let has_all_ports = Protocol::ALL
            .iter()
            .all(|&protocol| ports.ports(protocol).is_full());
        if *rule.peers != Peers::Everyone || !has_all_ports {
            continue;
        }
        let path = rule.path();
        // An explicit empty list reads as the opposite: another rule tells that.
        let is_misread = rule.written_ports.is_empty()
            && [rule.peers_field(), "ports"]
                .iter()
                .any(|field| policy.is_written(&path.field(field)));
        if is_misread {
            continue;
        }
        let message = format!(
            "this rule allows everything: {}, on every port",
            rule.everyone()
        );
        findings.add(
            Finding::new(&RULE, policy, path, message)
                .with_fix("name the peers or the ports that are needed"),
        );
    }
}
