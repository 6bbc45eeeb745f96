//! NP107: an explicit empty list that means everything.

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity, WrittenRule};
use crate::manifest::Part;

rule! {
    /// ## What it finds
    /// `from`, `to` or `ports` in a rule with an empty list (or nothing) behind it.
    ///
    /// ## Why it matters
    /// It reads as "nobody" or "no port". It means everybody and every port, as if it were absent. Templates that render
    /// an empty list of peers open the pods in this way.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - from: []
    ///   ports: [{protocol: TCP, port: 80}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress: []
    /// ```
    ///
    /// ## No finding
    /// `ingress: []` and `egress: []` are no rules at all and allow nothing, as they read.
    pub(super) const RULE: Rule = Rule {
        code: "NP107",
        name: "empty-list-means-all",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule) in input.rules() {
        let fields = [
            (rule.peers_field(), rule.written_peers.is_empty()),
            ("ports", rule.written_ports.is_empty()),
        ];
        for (field, _) in fields.into_iter().filter(|(_, is_empty)| *is_empty) {
            let path = rule.path().field(field);
            if !policy.is_written(&path) {
                continue;
            }
            let mut finding = Finding::new(&RULE, policy, path.clone(), message(&rule, field))
                .with_fix(format!(
                    "remove the rule if nothing is to be allowed; else list what is meant or remove {field}"
                ));
            finding.place = policy.policy.fields.place(&path, Part::Key);
            findings.add(finding);
        }
    }
}

fn message(rule: &WrittenRule<'_>, field: &str) -> String {
    if field == "ports" {
        "an empty list of ports does not mean no port: every port of every protocol is allowed"
            .to_owned()
    } else {
        format!("an empty {field} does not mean nobody: {}", rule.everyone())
    }
}
