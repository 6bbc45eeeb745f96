//! NP109: one rule written as two.

use policy_core::Selector;
use policy_core::cluster::NAMESPACE_NAME_LABEL;
use policy_core::policy::{Namespaces, Peer};
use policy_core::selector::Values;

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity, WrittenRule};

rule! {
    /// ## What it finds
    /// A rule with peers alone beside a rule with ports alone.
    ///
    /// ## Why it matters
    /// Two list items are two rules: these peers on every port, *or* everyone on these ports. What was meant is
    /// nearly always one rule: these peers on these ports.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - from: [{podSelector: {matchLabels: {app: web}}}]
    /// - ports: [{protocol: TCP, port: 5432}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - from: [{podSelector: {matchLabels: {app: web}}}]
    ///   ports: [{protocol: TCP, port: 5432}]
    /// ```
    ///
    /// ## No finding
    /// Where the rule with ports alone is egress on port 53: DNS for all beside other peers is a common pair. It is one
    /// all the same where the peers are the name servers (`kube-system` or `k8s-app: kube-dns`), which were meant then.
    pub(super) const RULE: Rule = Rule {
        code: "NP109",
        name: "split-rule",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for policy in &input.policies {
        for direction in policy_core::Direction::ALL {
            for pair in policy.rules_of(direction).windows(2) {
                let [first, second] = pair else { continue };
                let is_split = (has_only_peers(first) && has_only_ports(second))
                    || (has_only_ports(first) && has_only_peers(second));
                let lets_ask_for_names = (first.is_dns() && !is_for_name_servers(second))
                    || (second.is_dns() && !is_for_name_servers(first));
                if !is_split || lets_ask_for_names || second.index != first.index + 1 {
                    continue;
                }
                let message = format!(
                    "two rules, not one: one allows its peers every port; by the other {}, on its ports",
                    second.everyone()
                );
                findings.add(
                    Finding::new(&RULE, policy, second.path(), message)
                        .with_fix("remove the dash before the second rule, so that peers and ports are one rule")
                        .with_related(policy.place(&first.path()), "the first rule"),
                );
            }
        }
    }
}

/// Whether the peers can only be meant as name servers: those of the namespace `kube-system`, or with their label.
fn is_for_name_servers(rule: &WrittenRule<'_>) -> bool {
    let demands = |selector: &Selector, key: &str, value: &str| {
        let mut constraints = selector.constraints();
        constraints.any(|(held, constraint)| {
            held == key && !constraint.may_lack && is_only(&constraint.values, value)
        })
    };
    let is_one = |peer: &Peer| match peer {
        Peer::Pods { namespaces, pods } => {
            let is_system = matches!(
                namespaces,
                Namespaces::Matching(selector) if demands(selector, NAMESPACE_NAME_LABEL, "kube-system")
            );
            demands(pods, "k8s-app", "kube-dns") || (is_system && pods.is_everything())
        }
        Peer::Block(_) => false,
    };
    let mut peers = rule.numbered_peers().peekable();
    peers.peek().is_some() && peers.all(|(_, peer)| is_one(peer))
}

fn is_only(values: &Values, value: &str) -> bool {
    matches!(values, Values::Only(only) if only.len() == 1 && only.iter().any(|held| **held == *value))
}

fn has_only_peers(rule: &WrittenRule<'_>) -> bool {
    !rule.written_peers.is_empty() && rule.written_ports.is_empty()
}

fn has_only_ports(rule: &WrittenRule<'_>) -> bool {
    rule.written_peers.is_empty() && !rule.written_ports.is_empty()
}
