//! The peers of rules that allow nothing because some part of them was not understood.
//!
//! Such a rule is no part of the policy's meaning. What its other peers select can still be said, so that one mistake
//! does not hide another.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicySpec,
};
use policy_core::policy::Rule;
use policy_core::problem::{Problem, ProblemKind, Segment};
use policy_core::{Direction, Policy, lower};

use super::written::{WrittenRule, peers_field, rules_path};

/// Peers of one rule that follow each other and were understood, as they are written and what they mean.
pub(super) struct PeerRun {
    direction: Direction,
    rule: usize,
    first: usize,
    written: Vec<NetworkPolicyPeer>,
    meaning: Rule,
}

impl PeerRun {
    /// The part of the rule that these peers are.
    pub(super) fn written(&self) -> WrittenRule<'_> {
        let (direction, index) = (self.direction, self.rule);
        let rule = WrittenRule::new(
            direction,
            index,
            Some(&self.written),
            None,
            Some(&self.meaning),
        );
        let rule = rule.expect("only what was understood is kept");
        WrittenRule {
            first_peer: self.first,
            ..rule
        }
    }
}

/// The peers that were understood, of the rules of a policy that were not. `problems` are all that lowering said.
pub(super) fn peers(
    object: &NetworkPolicy,
    meaning: &Policy,
    problems: &[Problem],
) -> Vec<PeerRun> {
    let Some(spec) = &object.spec else {
        return Vec::new();
    };
    // An entry that is no mapping is left out of its list, and positions in the list are no longer those in the text.
    let is_entry_lost = problems.iter().any(|problem| {
        matches!(problem.kind, ProblemKind::Mistyped { .. })
            && matches!(problem.path.segments().last(), Some(Segment::Index(_)))
    });
    if is_entry_lost {
        return Vec::new();
    }
    let ingress = spec.ingress.iter().flatten().map(|rule| &rule.from);
    let egress = spec.egress.iter().flatten().map(|rule| &rule.to);
    let numbered = ingress
        .enumerate()
        .map(|(index, peers)| (Direction::Ingress, index, peers))
        .chain(
            egress
                .enumerate()
                .map(|(index, peers)| (Direction::Egress, index, peers)),
        );
    let closed = numbered.filter(|(direction, index, _)| {
        matches!(
            meaning.rules(*direction).get(*index),
            Some(Rule::NotUnderstood)
        )
    });
    closed
        .flat_map(|(direction, index, peers)| {
            let peers = peers.as_deref().unwrap_or_default();
            runs(direction, index, peers, problems)
        })
        .collect()
}

fn runs(
    direction: Direction,
    rule: usize,
    peers: &[NetworkPolicyPeer],
    problems: &[Problem],
) -> Vec<PeerRun> {
    let list = rules_path(direction)
        .index(rule)
        .field(peers_field(direction));
    let is_understood = |position: usize| {
        let path = list.index(position);
        !problems
            .iter()
            .any(|problem| problem.path.starts_with(&path))
    };
    let positions: Vec<usize> = (0..peers.len()).filter(|at| is_understood(*at)).collect();
    let runs = positions.chunk_by(|one, next| one + 1 == *next);
    runs.filter_map(|run| {
        let first = *run.first()?;
        let written = peers[first..first + run.len()].to_vec();
        Some(PeerRun {
            direction,
            rule,
            first,
            meaning: alone(&written)?,
            written,
        })
    })
    .collect()
}

/// What a rule of these peers alone means. Peers mean the same in both directions.
fn alone(peers: &[NetworkPolicyPeer]) -> Option<Rule> {
    let rule = NetworkPolicyIngressRule {
        from: Some(peers.to_vec()),
        ports: None,
    };
    let object = NetworkPolicy {
        spec: Some(NetworkPolicySpec {
            ingress: Some(vec![rule]),
            ..NetworkPolicySpec::default()
        }),
        ..NetworkPolicy::default()
    };
    let (policy, _) = lower::policy(&object, &[]);
    let mut rules = policy.ingress.into_iter();
    rules
        .next()
        .filter(|rule| matches!(rule, Rule::Allow { .. }))
}
