//! NP206: a namespace selected by a label `name` that it does not have.

use policy_core::Selector;
use policy_core::cluster::NAMESPACE_NAME_LABEL;
use policy_core::policy::{Namespaces, Peer};
use policy_core::selector::Values;

use crate::lint::{Certainty, Finding, Findings, Input, Repair, Rule, Severity};
use crate::manifest::Part;

rule! {
    /// ## What it finds
    /// A `namespaceSelector` that asks for `name: x`, where no namespace of the input has such a label. It is a warning
    /// where namespace x is in the input or is one that every cluster has, and information otherwise.
    ///
    /// ## Why it matters
    /// A namespace's name is no label `name`. The label that every namespace carries is `kubernetes.io/metadata.name`.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - from: [{namespaceSelector: {matchLabels: {name: kube-system}}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP206",
        name: "namespace-by-name",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

/// Namespaces that every cluster has.
const BUILT_IN: [&str; 3] = ["default", "kube-public", "kube-system"];

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule, index, peer) in input.understood_peers() {
        let Peer::Pods {
            namespaces: namespaces @ Namespaces::Matching(selector),
            ..
        } = peer
        else {
            continue;
        };
        let own = policy.meaning.id.namespace.as_ref();
        let Some(name) = wanted(selector) else {
            continue;
        };
        if input.world.matching(own, namespaces).next().is_some() {
            continue;
        }
        let is_known = BUILT_IN.contains(&name) || input.world.namespaces().contains_key(name);
        let severity = if is_known {
            Severity::Warning
        } else {
            Severity::Info
        };
        let path = rule.peer_path(index).field("namespaceSelector");
        let message =
            format!("no namespace has the label name={name}: a namespace's name is no such label");
        let key = path.field("matchLabels").field("name");
        let repair = policy.is_written(&key).then(|| {
            let place = policy.policy.fields.place(&key, Part::Key);
            Repair::scalar(&place, NAMESPACE_NAME_LABEL).unsafely()
        });
        findings.add(
            Finding::new(&RULE, policy, path, message)
                .with_repair(repair)
                .with_severity(severity)
                .with_fix(format!("write {NAMESPACE_NAME_LABEL}: {name}")),
        );
    }
}

/// The one value that a selector wants the label `name` to have.
pub(super) fn wanted(selector: &Selector) -> Option<&str> {
    let mut constraints = selector.constraints();
    let (_, constraint) = constraints.find(|(key, _)| *key == "name")?;
    match &constraint.values {
        Values::Only(values) if values.len() == 1 && !constraint.may_lack => {
            values.first().map(AsRef::as_ref)
        }
        _ => None,
    }
}
