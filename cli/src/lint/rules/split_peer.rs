//! NP108: one peer written as two.

use policy_core::policy::{Namespaces, Peer, Peers};
use policy_core::{FieldPath, Selector};

use crate::lint::{
    Certainty, Finding, Findings, Input, LintPolicy, Repair, Rule, Severity, WrittenRule,
};
use crate::manifest::Span;

rule! {
    /// ## What it finds
    /// A peer with a `namespaceSelector` alone beside a peer with a `podSelector` alone.
    ///
    /// ## Why it matters
    /// Two list items are two peers: all pods of those namespaces, *or* the pods with those labels in the policy's own
    /// namespace. Often one peer was meant: the pods with those labels in those namespaces. The dash makes the
    /// difference.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - from:
    ///   - namespaceSelector: {matchLabels: {team: ops}}
    ///   - podSelector: {matchLabels: {app: prometheus}}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - from:
    ///   - namespaceSelector: {matchLabels: {team: ops}}
    ///     podSelector: {matchLabels: {app: prometheus}}
    /// ```
    ///
    /// ## No finding
    /// Where the `podSelector` is empty, which plainly means the own namespace; and where the input shows that the labels
    /// are on pods of the own namespace and on none of the others, so that both peers make sense. When the own namespace
    /// has pods and none of them matches, the finding is an error.
    pub(super) const RULE: Rule = Rule {
        code: "NP108",
        name: "split-peer",
        severity: Severity::Warning,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule) in input.rules() {
        let Peers::Listed(peers) = rule.peers else {
            continue;
        };
        for (index, pair) in peers.windows(2).enumerate() {
            if let Some((namespaces, pods)) = split(&rule, index, pair)
                && let Some(severity) = severity(input, policy, namespaces, pods)
            {
                findings.add(finding(policy, &rule, index, (namespaces, pods), severity));
            }
        }
    }
}

/// Whether a peer is a half of what looks like one peer: what is wrong with it is told here.
pub(super) fn is_half(rule: &WrittenRule<'_>, index: usize) -> bool {
    let Peers::Listed(peers) = rule.peers else {
        return false;
    };
    let mut firsts = [index.checked_sub(1), Some(index)].into_iter().flatten();
    firsts.any(|first| {
        let pair = peers.get(first..first + 2);
        pair.is_some_and(|pair| split(rule, first, pair).is_some())
    })
}

/// The two halves, in either order, of peers `index` and `index + 1`.
fn split<'p>(
    rule: &WrittenRule<'_>,
    index: usize,
    pair: &'p [Peer],
) -> Option<(&'p Namespaces, &'p Selector)> {
    let has_pod_selector = |offset: usize| {
        let written = rule.written_peers.get(index + offset);
        written.is_some_and(|peer| peer.pod_selector.is_some())
    };
    let (namespaces, pods) = match pair {
        [
            Peer::Pods {
                namespaces: namespaces @ Namespaces::Matching(_),
                ..
            },
            Peer::Pods {
                namespaces: Namespaces::Own,
                pods,
            },
        ] if !has_pod_selector(0) => (namespaces, pods),
        [
            Peer::Pods {
                namespaces: Namespaces::Own,
                pods,
            },
            Peer::Pods {
                namespaces: namespaces @ Namespaces::Matching(_),
                ..
            },
        ] if !has_pod_selector(1) => (namespaces, pods),
        _ => return None,
    };
    (!pods.is_everything()).then_some((namespaces, pods))
}

fn severity(
    input: &Input<'_>,
    policy: &LintPolicy<'_>,
    namespaces: &Namespaces,
    pods: &Selector,
) -> Option<Severity> {
    let world = &input.world;
    let own = policy.meaning.id.namespace.as_ref();
    let in_own = world.has_match(own, pods);
    let mut in_others = None;
    for namespace in world.matching(own, namespaces).filter(|name| *name != own) {
        match world.has_match(namespace, pods) {
            Some(true) => in_others = Some(true),
            Some(false) if in_others.is_none() => in_others = Some(false),
            _ => {}
        }
    }
    match (in_own, in_others) {
        (Some(false), _) if !input.is_open_world => Some(Severity::Error),
        (Some(true), Some(false)) => None,
        _ => Some(Severity::Warning),
    }
}

fn finding(
    policy: &LintPolicy<'_>,
    rule: &WrittenRule<'_>,
    index: usize,
    (namespaces, pods): (&Namespaces, &Selector),
    severity: Severity,
) -> Finding {
    let own = &policy.meaning.id.namespace;
    let whose = match namespaces {
        Namespaces::Matching(selector) if selector.is_everything() => {
            "every pod of every namespace".to_owned()
        }
        Namespaces::Matching(selector) => {
            format!("every pod of the namespaces with {selector}")
        }
        Namespaces::Own => format!("every pod of {own}"),
    };
    let mut message =
        format!("two peers, not one: {whose}, or the pods of namespace {own} with {pods}");
    let mut certainty = Certainty::Proven;
    if severity == Severity::Error {
        message += ", of which there are none";
        certainty = Certainty::ClosedWorld;
    }
    let first = policy.place(&rule.peer_path(index));
    Finding::new(&RULE, policy, rule.peer_path(index + 1), message)
        .with_severity(severity)
        .with_certainty(certainty)
        .with_repair(without_dash(policy, &rule.peer_path(index + 1)))
        .with_fix("remove the dash before the second selector if one peer was meant")
        .with_related(first, "the first peer")
}

/// Makes the second peer a part of the first, where they are written one below the other.
fn without_dash(policy: &LintPolicy<'_>, second: &FieldPath) -> Option<Repair> {
    let mut place = policy.place(second);
    let source = place.source.clone();
    let line = source.line(place.position().line);
    let margin = &source.text()[line.start as usize..place.span.start as usize];
    let is_dash_alone = margin.trim() == "-" && !source.slice(place.span).starts_with(['{', '*']);
    let dash = line.start + u32::try_from(margin.find('-')?).ok()?;
    place.span = Span {
        start: dash,
        end: dash + 1,
    };
    is_dash_alone.then(|| Repair::edit(place, " ".to_owned()).unsafely())
}
