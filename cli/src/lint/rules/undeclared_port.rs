//! NP210: a port that no container declares.

use policy_core::policy::{PortSpec, Ports};
use policy_core::{Direction, Protocol};

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Port numbers of ingress rules that none of the selected pods declares, where each of them declares some port.
    ///
    /// ## Why it matters
    /// `containerPort` is information only, so a pod may well listen on other ports. But often the number is a mistake.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: db, namespace: shop, labels: {app: db}}
    /// spec: {containers: [{name: db, ports: [{containerPort: 5432}]}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: db, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: db}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - ports: [{protocol: TCP, port: 5433}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: db, namespace: shop, labels: {app: db}}
    /// spec: {containers: [{name: db, ports: [{containerPort: 5432}]}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: db, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: db}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - ports: [{protocol: TCP, port: 5432}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP210",
        name: "undeclared-port",
        severity: Severity::Info,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (index, policy) in input.policies.iter().enumerate() {
        let subjects = input.reach.subjects(index);
        let classes = || subjects.iter().map(|&class| input.reach.class(class));
        if subjects.is_empty() || classes().any(|class| class.ports.is_empty()) {
            continue;
        }
        let is_declared = |protocol: Protocol, number: u16| {
            classes().any(|class| {
                let mut ports = class.ports.iter();
                ports.any(|port| (port.protocol, port.port) == (protocol, number))
            })
        };
        for rule in policy.rules_of(Direction::Ingress) {
            let Ports::Listed(ports) = rule.ports else {
                continue;
            };
            for (position, port) in ports.iter().enumerate() {
                let PortSpec::Range(protocol, number, last) = port else {
                    continue;
                };
                if number != last || is_declared(*protocol, *number) {
                    continue;
                }
                let message =
                    format!("no container of the selected pods declares port {number}/{protocol}");
                let path = rule.port_path(position).field("port");
                findings.add(Finding::new(&RULE, policy, path, message));
            }
        }
    }
}
