//! NP228: a rule that could go.

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Rules of which other policies allow everything to the same pods, alone or together.
    ///
    /// ## Why it matters
    /// Removing or narrowing the rule changes nothing.
    ///
    /// ## Example
    /// ```yaml
    /// kind: NetworkPolicy
    /// metadata: {name: all, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {}}]
    ///     ports: [{protocol: TCP, port: 80, endPort: 90}]
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: api, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: api}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {matchLabels: {app: web}}}]
    ///     ports: [{protocol: TCP, port: 80}]
    ///   - from: [{podSelector: {matchLabels: {app: cron}}}]
    ///     ports: [{protocol: TCP, port: 9000}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: NetworkPolicy
    /// metadata: {name: all, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {}}]
    ///     ports: [{protocol: TCP, port: 80, endPort: 90}]
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: api, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: api}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {matchLabels: {app: cron}}}]
    ///     ports: [{protocol: TCP, port: 9000}]
    /// ```
    ///
    /// ## No finding
    /// Rules of a policy that is redundant as a whole (NP227), and rules that another rule of their own policy holds
    /// (NP127, NP128). All rules with this finding can be removed together.
    pub(super) const RULE: Rule = Rule {
        code: "NP228",
        name: "redundant-rule",
        severity: Severity::Info,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (_, redundant) in &input.neighbours {
        for (id, others) in &redundant.rules {
            let Some(rule) = input.policies[id.0].rule(id.1, id.2) else {
                continue;
            };
            let shown: Vec<_> = others.iter().take(3).collect();
            let names = shown.iter().map(|(policy, direction, index)| {
                format!("{} {direction}[{index}]", input.policies[*policy].name())
            });
            let more = if others.len() > 3 { " and others" } else { "" };
            let message = format!(
                "the rule changes nothing: the same pods get all of it from {}{more}",
                names.collect::<Vec<_>>().join(", "),
            );
            let policy = &input.policies[id.0];
            let finding = Finding::new(&RULE, policy, rule.path(), message)
                .with_fix("remove the rule, or narrow the others");
            findings.add(shown.into_iter().fold(finding, |finding, other| {
                match input.policies[other.0].rule(other.1, other.2) {
                    Some(rule) => {
                        let place = input.policies[other.0].place(&rule.path());
                        finding.with_related(place, "allows it as well")
                    }
                    None => finding,
                }
            }));
        }
    }
}
