//! NP231: a rule that another policy makes wider.

use std::collections::BTreeMap;

use policy_core::Direction;
use policy_core::policy::Peers;

use crate::lint::meaning::{peers_cover, ports_cover, selector_covers};
use crate::lint::{Certainty, Finding, Findings, Input, LintPolicy, Rule, Severity, WrittenRule};

rule! {
    /// ## What it finds
    /// Rules with listed peers, where a rule of another policy on the same pods allows the same and more. It is a warning
    /// where that other rule lists no peer at all, so that everyone is allowed, and information otherwise.
    ///
    /// ## Why it matters
    /// A narrow rule looks like a restriction, and is none: policies only add.
    ///
    /// ## Example
    /// ```yaml
    /// kind: NetworkPolicy
    /// metadata: {name: db, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: db}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {matchLabels: {app: api}}}]
    ///     ports: [{protocol: TCP, port: 5432}]
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: debug, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - ports: [{protocol: TCP, port: 5432}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: NetworkPolicy
    /// metadata: {name: db, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: db}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {matchLabels: {app: api}}}]
    ///     ports: [{protocol: TCP, port: 5432}]
    /// ```
    ///
    /// ## No finding
    /// Rules for DNS, which are often repeated.
    pub(super) const RULE: Rule = Rule {
        code: "NP231",
        name: "widened-rule",
        severity: Severity::Warning,
        certainty: Certainty::Proven,
        check,
    };
}

/// Rules with more peers are not compared with each other.
const MOST_PEERS: usize = 200;

fn check(input: &Input<'_>, findings: &mut Findings) {
    for direction in Direction::ALL {
        for (neighbours, _) in &input.neighbours {
            let policies = neighbours
                .policies
                .iter()
                .map(|&index| &input.policies[index]);
            let mut groups: BTreeMap<_, Vec<(&LintPolicy<'_>, WrittenRule<'_>)>> = BTreeMap::new();
            for policy in policies {
                let rules = policy.rules_of(direction).into_iter();
                let rules = rules.filter(|rule| rule.written_peers.len() <= MOST_PEERS);
                let group = groups.entry(&policy.meaning.subjects).or_default();
                group.extend(rules.map(|rule| (policy, rule)));
            }
            for (subjects, rules) in &groups {
                let wider: Vec<_> = groups
                    .iter()
                    .filter(|(other, _)| selector_covers(other, subjects))
                    .flat_map(|(_, rules)| rules)
                    .collect();
                for (policy, rule) in rules {
                    check_rule(policy, rule, &wider, findings);
                }
            }
        }
    }
}

fn check_rule(
    policy: &LintPolicy<'_>,
    rule: &WrittenRule<'_>,
    others: &[&(&LintPolicy<'_>, WrittenRule<'_>)],
    findings: &mut Findings,
) {
    if matches!(rule.peers, Peers::Everyone) || rule.is_dns() {
        return;
    }
    let covers = |outer: &WrittenRule<'_>, inner: &WrittenRule<'_>| {
        ports_cover(outer.ports, inner.ports) && peers_cover(outer.peers, inner.peers)
    };
    let wider = others.iter().filter(|(other_policy, other)| {
        !std::ptr::eq(*other_policy, policy) && covers(other, rule) && !covers(rule, other)
    });
    let is_for_everyone = |rule: &WrittenRule<'_>| matches!(rule.peers, Peers::Everyone);
    let Some((other_policy, other)) = wider.max_by_key(|(_, other)| is_for_everyone(other)) else {
        return;
    };
    let (severity, whom) = if is_for_everyone(other) {
        (Severity::Warning, "everyone")
    } else {
        (Severity::Info, "more")
    };
    let message = format!(
        "the rule restricts nothing: policy {} {}[{}] allows {whom} on the same ports to the same pods",
        other_policy.name(),
        other.direction,
        other.index
    );
    findings.add(
        Finding::new(&RULE, policy, rule.path(), message)
            .with_severity(severity)
            .with_fix("narrow the other rule if this one was meant as a restriction")
            .with_related(other_policy.place(&other.path()), "allows more"),
    );
}
