//! NP115: a namespace selector that unlabelled namespaces match.

use policy_core::cluster::NAMESPACE_NAME_LABEL;
use policy_core::policy::{Namespaces, Peer};

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// A `namespaceSelector` of `NotIn` or `DoesNotExist` requirements alone, on labels that a namespace may lack.
    ///
    /// ## Why it matters
    /// A namespace without the label matches too: `kube-system`, and every namespace that somebody makes later and does
    /// not label.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - from:
    ///   - namespaceSelector: {matchExpressions: [{key: env, operator: NotIn, values: [prod]}]}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - from:
    ///   - namespaceSelector: {matchExpressions: [{key: env, operator: In, values: [dev, test]}]}
    /// ```
    ///
    /// ## No finding
    /// `NotIn` on `kubernetes.io/metadata.name`, a label that every namespace has: it excludes just the named ones.
    pub(super) const RULE: Rule = Rule {
        code: "NP115",
        name: "negative-namespace-selector",
        severity: Severity::Warning,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule, index, peer) in input.peers() {
        let Peer::Pods {
            namespaces: Namespaces::Matching(namespaces),
            ..
        } = peer
        else {
            continue;
        };
        let mut keys = namespaces
            .constraints()
            .filter(|(key, _)| *key != NAMESPACE_NAME_LABEL);
        let Some((key, _)) = keys.next() else {
            continue;
        };
        if !namespaces
            .constraints()
            .all(|(_, constraint)| constraint.may_lack)
        {
            continue;
        }
        let path = rule.peer_path(index).field("namespaceSelector");
        let message = format!(
            "namespaces without the label {key} match too, such as those that nobody has labelled"
        );
        findings.add(Finding::new(&RULE, policy, path, message).with_fix(format!(
            "list the namespaces that are meant, or also demand {key} with Exists"
        )));
    }
}
