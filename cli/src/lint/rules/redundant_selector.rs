//! NP137: a selector that could be written shorter.

use policy_core::FieldPath;
use policy_core::cluster::NAMESPACE_NAME_LABEL;
use policy_core::policy::{Namespaces, Peer};
use policy_core::selector::{Constraint, Values};

use crate::lint::{Certainty, Finding, Findings, Input, LintPolicy, Repair, Rule, Severity};
use crate::manifest::{Part, Span};

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
    ///
    /// ## No finding
    /// A selector that matches all pods or namespaces of the input: those that come later need not have its labels.
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
                without_pod_selector(policy, &path),
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
                None,
                findings,
            );
        }
    }
}

/// Whether every object that has the key meets the constraint.
fn is_always_met(constraint: &Constraint) -> bool {
    matches!(&constraint.values, Values::Except(values) if values.is_empty())
}

/// Takes the empty podSelector out of the peer at `path`.
fn without_pod_selector(policy: &LintPolicy<'_>, path: &FieldPath) -> Option<Repair> {
    let fields = &policy.policy.fields;
    let pods = path.field("podSelector");
    let namespaces = path.field("namespaceSelector");
    let (key, value) = (fields.place(&pods, Part::Key), policy.place(&pods));
    // `{}` on the line of its key, and so no alias and no text that comes from elsewhere.
    let is_plain = value.source.slice(value.span).trim_end() == "{}"
        && key.position().line == value.position().line;
    let mut whole = key;
    if !is_plain || whole.span.start >= value.span.start {
        return None;
    }
    whole.span.end = value.span.end;
    let other = fields.place(&namespaces, Part::Key);
    if whole.span.end > other.span.start {
        return Repair::take_out(&policy.place(&namespaces), &whole);
    }
    let between = Span {
        start: whole.span.end,
        end: other.span.start,
    };
    if !matches!(whole.source.slice(between).trim(), "" | ",") {
        return None;
    }
    whole.span.end = other.span.start;
    Some(Repair::edit(whole, String::new()))
}

fn add(
    policy: &LintPolicy<'_>,
    path: FieldPath,
    message: &str,
    fix: &str,
    repair: Option<Repair>,
    findings: &mut Findings,
) {
    let finding = Finding::new(&RULE, policy, path, message.to_owned());
    findings.add(finding.with_fix(fix).with_repair(repair));
}
