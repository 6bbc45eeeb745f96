//! NP221: a rule that only one end agrees to.

use policy_core::{Direction, FieldPath};

use crate::lint::{
    Certainty, ClassId, Finding, Findings, Grant, Input, LintPolicy, Rule, Severity,
};

rule! {
    /// ## What it finds
    /// Peers that a rule allows, where the policies of the other end deny all of it: an ingress rule for pods whose egress
    /// is isolated and not allowed to come here, or an egress rule to pods that do not let anybody in on these ports.
    ///
    /// ## Why it matters
    /// A connection between pods needs both: the egress of the one that opens it and the ingress of the other. The rule
    /// never lets a packet through.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// ---
    /// kind: Pod
    /// metadata: {name: db, namespace: shop, labels: {app: db}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: default-deny, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress, Egress]
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: db, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: db}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {matchLabels: {app: web}}}]
    ///     ports: [{protocol: TCP, port: 5432}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web, namespace: shop, labels: {app: web}}
    /// ---
    /// kind: Pod
    /// metadata: {name: db, namespace: shop, labels: {app: db}}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: default-deny, namespace: shop}
    /// spec:
    ///   podSelector: {}
    ///   policyTypes: [Ingress, Egress]
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: db, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: db}}
    ///   policyTypes: [Ingress]
    ///   ingress:
    ///   - from: [{podSelector: {matchLabels: {app: web}}}]
    ///     ports: [{protocol: TCP, port: 5432}]
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   podSelector: {matchLabels: {app: web}}
    ///   policyTypes: [Egress]
    ///   egress:
    ///   - to: [{podSelector: {matchLabels: {app: db}}}]
    ///     ports: [{protocol: TCP, port: 5432}]
    /// ```
    ///
    /// ## No finding
    /// Where one pair of pods can use the rule. Peers with more than 10,000 pairs of different pods are not looked at.
    pub(super) const RULE: Rule = Rule {
        code: "NP221",
        name: "half-open",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

const MOST_PAIRS: usize = 10_000;

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (index, policy) in input.policies.iter().enumerate() {
        let subjects = input.reach.subjects(index);
        for direction in Direction::ALL {
            for grant in input.reach.grants(index, direction) {
                for (position, peers) in grant.peers.iter().enumerate() {
                    if let Some(pair) = blocked(input, direction, grant, subjects, peers)
                        && let Some(rule) = policy.rule(direction, grant.rule)
                    {
                        let path = rule.peer_path(position);
                        findings.add(finding(input, policy, direction, path, pair));
                    }
                }
            }
        }
    }
}

/// A pair of classes, where the other end denies to every pair all that the grant gives.
fn blocked(
    input: &Input<'_>,
    direction: Direction,
    grant: &Grant,
    subjects: &[ClassId],
    peers: &[ClassId],
) -> Option<(ClassId, ClassId)> {
    if subjects.len().saturating_mul(peers.len()) > MOST_PAIRS {
        return None;
    }
    let reach = &input.reach;
    let other_side = opposite(direction);
    if peers
        .iter()
        .any(|&peer| !reach.is_isolated(peer, other_side))
    {
        return None;
    }
    let mut first = None;
    for &subject in subjects {
        for &peer in peers {
            let destination = reach.destination(subject, direction, peer);
            let given = grant.ports(reach.class(destination));
            // Names that the destination lacks are told elsewhere.
            if given.is_empty() {
                continue;
            }
            // A pod always reaches itself.
            if subject == peer && reach.class(subject).pods.len() == 1 {
                continue;
            }
            let allowed = reach.allowed(peer, other_side, subject);
            if !allowed.intersection(&given).is_empty() {
                return None;
            }
            first = first.or(Some((subject, peer)));
        }
    }
    first
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    }
}

fn finding(
    input: &Input<'_>,
    policy: &LintPolicy<'_>,
    direction: Direction,
    path: FieldPath,
    (subject, peer): (ClassId, ClassId),
) -> Finding {
    let other_side = opposite(direction);
    let isolating = input.reach.isolating(peer, other_side).first();
    let (subject, peer) = (
        input.reach.class(subject).name(),
        input.reach.class(peer).name(),
    );
    let message = match direction {
        Direction::Ingress => format!(
            "this lets nobody in: the peers (such as {peer}) are isolated for egress, and no policy allows them to open connections to {subject} on these ports"
        ),
        Direction::Egress => format!(
            "this leads nowhere: the peers (such as {peer}) are isolated for ingress, and no policy lets {subject} in on these ports"
        ),
    };
    let finding = Finding::new(&RULE, policy, path, message).with_fix(format!(
        "allow it in the {other_side} rules of a policy that selects {peer}"
    ));
    match isolating {
        Some(&isolating) => {
            let name = FieldPath::root().field("metadata").field("name");
            let place = input.policies[isolating as usize].place(&name);
            finding.with_related(place, "isolates the other end")
        }
        None => finding,
    }
}
