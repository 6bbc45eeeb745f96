//! NP128: a rule that another rule of its policy holds.

use policy_core::Direction;

use crate::lint::meaning::{peers_cover, ports_cover};
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity, WrittenRule};

rule! {
    /// ## What it finds
    /// Rules that allow nothing beyond another rule of the same policy.
    ///
    /// ## Why it matters
    /// The rule could be removed. Often it was meant to narrow the other one, which rules cannot: they only add.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - from: [{podSelector: {matchLabels: {app: web}}}]
    /// - from: [{podSelector: {matchLabels: {app: web}}}]
    ///   ports: [{protocol: TCP, port: 80}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - from: [{podSelector: {matchLabels: {app: web}}}]
    ///   ports: [{protocol: TCP, port: 80}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP128",
        name: "subsumed-rule",
        severity: Severity::Info,
        certainty: Certainty::Proven,
        check,
    };
}

/// In longer lists each rule is compared with so many around it only: cost stays in proportion.
const COMPARED: usize = 64;

/// Rules with more peers or ports are not compared.
const MOST_ENTRIES: usize = 200;

fn check(input: &Input<'_>, findings: &mut Findings) {
    for policy in &input.policies {
        for direction in Direction::ALL {
            let rules = policy.rules_of(direction);
            for (position, rule) in rules.iter().enumerate() {
                if entries(rule) > MOST_ENTRIES {
                    continue;
                }
                let first = position.saturating_sub(COMPARED);
                let near = rules.iter().skip(first).take(2 * COMPARED);
                let mut wider =
                    near.filter(|other| other.index != rule.index && is_wider(other, rule));
                if let Some(other) = wider.next() {
                    let message = format!(
                        "{direction}[{}] allows all that this rule allows",
                        other.index
                    );
                    findings.add(
                        Finding::new(&RULE, policy, rule.path(), message)
                            .with_fix("remove this rule, or narrow the other one")
                            .with_related(policy.place(&other.path()), "allows all of it"),
                    );
                }
            }
        }
    }
}

fn entries(rule: &WrittenRule<'_>) -> usize {
    rule.written_peers.len() + rule.written_ports.len()
}

/// Whether `outer` allows all that `inner` allows, and more.
fn is_wider(outer: &WrittenRule<'_>, inner: &WrittenRule<'_>) -> bool {
    let covers = |outer: &WrittenRule<'_>, inner: &WrittenRule<'_>| {
        ports_cover(outer.ports, inner.ports) && peers_cover(outer.peers, inner.peers)
    };
    entries(outer) <= MOST_ENTRIES && covers(outer, inner) && !covers(inner, outer)
}
