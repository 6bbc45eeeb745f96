//! NP135: a field that the network plugin may not support.

use policy_core::FieldPath;
use policy_core::Protocol;
use policy_core::policy::{PortSpec, Ports};

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// With `--profile`: SCTP and `endPort` where the network plugin supports them only on conditions.
    ///
    /// ## Why it matters
    /// What a plugin does not support it may ignore or refuse, and either is another policy than the one that is written.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - ports: [{protocol: SCTP, port: 3868}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - ports: [{protocol: TCP, port: 3868}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP135",
        name: "plugin-support",
        severity: Severity::Info,
        certainty: Certainty::Profile,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let Some(profile) = input.profile else { return };
    for (policy, rule) in input.rules() {
        let Ports::Listed(ports) = rule.ports else {
            continue;
        };
        for (index, port) in ports.iter().enumerate() {
            let path = rule.port_path(index);
            let mut tell = |path: FieldPath, what: &str, condition: Option<&str>| {
                if let Some(condition) = condition {
                    let message = format!("{} supports {what} {condition}", profile.name());
                    findings.add(Finding::new(&RULE, policy, path, message));
                }
            };
            let (PortSpec::Range(protocol, ..) | PortSpec::Named(protocol, _)) = port;
            if *protocol == Protocol::Sctp {
                tell(path.field("protocol"), "SCTP", profile.sctp());
            }
            if policy.is_written(&path.field("endPort")) {
                tell(path.field("endPort"), "endPort", profile.end_port());
            }
        }
    }
}
