//! NP130: a very wide range of ports.

use policy_core::policy::{PortSpec, Ports};

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Ranges of more than 1,000 ports.
    ///
    /// ## Why it matters
    /// Whatever comes to listen on one of them is open too.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - ports: [{protocol: TCP, port: 1024, endPort: 65535}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - ports: [{protocol: TCP, port: 30000, endPort: 30099}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP130",
        name: "wide-port-range",
        severity: Severity::Info,
        certainty: Certainty::Proven,
        check,
    };
}

const WIDEST: u16 = 1_000;

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule) in input.rules() {
        let Ports::Listed(ports) = rule.ports else {
            continue;
        };
        for (index, port) in ports.iter().enumerate() {
            // An entry without a port begins at 0.
            if let PortSpec::Range(_, first @ 1.., last) = port
                && last - first >= WIDEST
            {
                let count = u32::from(last - first) + 1;
                let path = rule.port_path(index).field("endPort");
                let message = format!("this range is {count} ports wide");
                findings.add(
                    Finding::new(&RULE, policy, path, message)
                        .with_fix("name the ports that are needed"),
                );
            }
        }
    }
}
