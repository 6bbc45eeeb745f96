//! NP203: a namespace selector that matches no namespace.

use policy_core::cluster::NAMESPACE_NAME_LABEL;
use policy_core::policy::{Namespaces, Peer};
use policy_core::selector::Values;
use policy_core::{FieldPath, Selector};

use super::namespace_by_name;
use crate::lint::misspelt::is_slip;
use crate::lint::{Certainty, Finding, Findings, Input, LintPolicy, Repair, Rule, Severity};
use crate::manifest::Content;

rule! {
    /// ## What it finds
    /// A `namespaceSelector` that matches none of the namespaces of the input, where the input defines namespaces.
    ///
    /// ## Why it matters
    /// The peer allows nobody: often the label is missing on the Namespace.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Namespace
    /// metadata: {name: ops, labels: {team: ops}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: db, namespace: shop}
    /// spec:
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{namespaceSelector: {matchLabels: {team: opps}}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Namespace
    /// metadata: {name: ops, labels: {team: ops}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: db, namespace: shop}
    /// spec:
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{namespaceSelector: {matchLabels: {team: ops}}}]
    /// ```
    ///
    /// ## No finding
    /// Selectors by `kubernetes.io/metadata.name`: manifests seldom define the namespaces of others, such as kube-system. It
    /// is a finding where the name is that of a namespace of the input but for a letter left out, doubled or swapped.
    /// Labels below `openshift.io` and `cattle.io`, which the platform puts on its own namespaces.
    pub(super) const RULE: Rule = Rule {
        code: "NP203",
        name: "matches-no-namespace",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let defines = |content: &Content| matches!(content, Content::Namespace(_));
    let defines_some = input.objects.iter().any(|object| defines(&object.content));
    for (policy, rule, index, peer) in input.understood_peers() {
        let Peer::Pods {
            namespaces: namespaces @ Namespaces::Matching(selector),
            ..
        } = peer
        else {
            continue;
        };
        if let Some((wanted, held)) = misspelt_name(input, selector) {
            findings.add(finding_of_name(
                policy,
                &rule.peer_path(index),
                wanted,
                held,
            ));
            continue;
        }
        let asks_by_name = selector
            .constraints()
            .any(|(key, _)| key == NAMESPACE_NAME_LABEL || is_set_by_platform(key));
        let is_told = !selector.is_satisfiable() || namespace_by_name::wanted(selector).is_some();
        if !defines_some || asks_by_name || is_told {
            continue;
        }
        let own = policy.meaning.id.namespace.as_ref();
        if input.world.matching(own, namespaces).next().is_some() {
            continue;
        }
        let path = rule.peer_path(index).field("namespaceSelector");
        let message = format!("no namespace has {selector}: this peer is nobody");
        findings.add(Finding::new(&RULE, policy, path, message).with_fix(
            "label the namespace that is meant, or select it by kubernetes.io/metadata.name",
        ));
    }
}

/// Whether a platform puts labels of this domain on namespaces of its own, which manifests do not define.
fn is_set_by_platform(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    domain.ends_with("openshift.io") || domain.ends_with("cattle.io")
}

/// The one name that a selector asks for, where no namespace has it, and that of a namespace of the input from which a slip
/// of the fingers tells it apart.
fn misspelt_name<'i>(input: &'i Input<'_>, selector: &'i Selector) -> Option<(&'i str, &'i str)> {
    let mut constraints = selector.constraints();
    let (_, constraint) = constraints.find(|(key, _)| *key == NAMESPACE_NAME_LABEL)?;
    let Values::Only(values) = &constraint.values else {
        return None;
    };
    let wanted: &str = values.first().filter(|_| values.len() == 1)?;
    let known = input.world.namespaces();
    if known.contains_key(wanted) {
        return None;
    }
    let mut held = known.keys();
    let held = held.find(|held| is_slip(wanted, held))?;
    Some((wanted, held))
}

fn finding_of_name(policy: &LintPolicy<'_>, peer: &FieldPath, wanted: &str, held: &str) -> Finding {
    let path = peer.field("namespaceSelector");
    let message =
        format!("no namespace is named {wanted}, but one is named {held}: this peer is nobody");
    let label = path.field("matchLabels").field(NAMESPACE_NAME_LABEL);
    let repair = policy
        .is_written(&label)
        .then(|| Repair::scalar(&policy.place(&label), held).unsafely());
    Finding::new(&RULE, policy, path, message)
        .with_fix(format!("write {NAMESPACE_NAME_LABEL}: {held}"))
        .with_repair(repair)
}
