//! NP113: a protocol without a port.

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// `ports` entries with a `protocol` and no `port`.
    ///
    /// ## Why it matters
    /// They allow every port of the protocol. That may be meant, but is easily overlooked.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - ports: [{protocol: TCP}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - ports: [{protocol: TCP, port: 443}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP113",
        name: "protocol-without-port",
        severity: Severity::Info,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule) in input.rules() {
        for (index, port) in rule.written_ports.iter().enumerate() {
            if port.port.is_none() {
                let protocol = port.protocol.as_deref().unwrap_or("TCP");
                let message = format!("no port is named, so every {protocol} port is allowed");
                findings.add(
                    Finding::new(&RULE, policy, rule.port_path(index), message)
                        .with_fix("name the ports that are needed"),
                );
            }
        }
    }
}
