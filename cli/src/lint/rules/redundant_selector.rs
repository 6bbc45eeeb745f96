//! NP137: a selector that could be written shorter.

use policy_core::FieldPath;
use policy_core::cluster::NAMESPACE_NAME_LABEL;
use policy_core::policy::{Namespaces, Peer};
use policy_core::selector::{Constraint, Values};

use crate::lint::{Certainty, Finding, Findings, Input, LintPolicy, Rule, Severity};

rule! {
    /// ## What it finds
    /// An empty `podSelector` beside a `namespaceSelector`, and a `namespaceSelector` that asks for
    /// `kubernetes.io/metadata.name` to exist, which it always does.
    ///
    /// ## Why it matters
    /// The longer way of writing makes readers look for a meaning that is not there.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - from:
    ///   - namespaceSelector: {matchLabels: {team: shop}}
    ///     podSelector: {}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - from:
    ///   - namespaceSelector: {matchLabels: {team: shop}}
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP137",
        name: "redundant-selector",
        severity: Severity::Info,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule, index, peer) in input.peers() {
        let Peer::Pods {
            namespaces: Namespaces::Matching(namespaces),
            pods,
        } = peer
        else {
            continue;
        };
        let path = rule.peer_path(index);
        let has_pod_selector = rule
            .written_peers
            .get(index)
            .is_some_and(|peer| peer.pod_selector.is_some());
        if pods.is_everything() && has_pod_selector {
            let message = "a namespaceSelector alone already means all pods of its namespaces";
            add(
                policy,
                path.field("podSelector"),
                message,
                "remove the podSelector",
                findings,
            );
        }
        let mut names = namespaces
            .constraints()
            .filter(|(key, _)| *key == NAMESPACE_NAME_LABEL);
        if names.any(|(_, constraint)| is_always_met(constraint)) {
            let message = "every namespace has the label kubernetes.io/metadata.name";
            let fix = "write namespaceSelector: {} if every namespace is meant";
            add(
                policy,
                path.field("namespaceSelector"),
                message,
                fix,
                findings,
            );
        }
    }
}

/// Whether every object that has the key meets the constraint.
fn is_always_met(constraint: &Constraint) -> bool {
    matches!(&constraint.values, Values::Except(values) if values.is_empty())
}

fn add(
    policy: &LintPolicy<'_>,
    path: FieldPath,
    message: &str,
    fix: &str,
    findings: &mut Findings,
) {
    findings.add(Finding::new(&RULE, policy, path, message.to_owned()).with_fix(fix));
}
