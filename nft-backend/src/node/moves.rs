//! The subjects that a batch leads to other classes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use policy_core::incremental::{Changes, SubjectChange, SubjectId};

use crate::class_chain::Direction;
use crate::identity::Identity;

use super::Node;

/// A subject that comes to another class or leaves one.
pub(super) struct Move {
    pub(super) id: SubjectId,
    pub(super) direction: Direction,
    pub(super) to: Option<Identity>,
}

/// The subjects that come to another class or leave one.
pub(super) fn moves(node: &Node, changes: &Changes) -> Vec<Move> {
    let mut moves = Vec::new();
    for &id in &changes.vanished {
        moves.extend(Direction::ALL.map(|direction| Move {
            id,
            direction,
            to: None,
        }));
    }
    for (&id, change) in &changes.subjects {
        let had_pods = !former_addresses(node, id).is_empty();
        for direction in Direction::ALL {
            let is_other = change.isolated_by.contains_key(&direction.into())
                || change.audited.contains_key(&direction.into())
                || (direction == Direction::Ingress && change.named_ports.is_some())
                || had_pods != has_pods(node, id, change);
            if !is_other {
                continue;
            }
            let to = identity_after(node, id, change, direction);
            let class = node.classes.of_subject(id, direction);
            let class = class.and_then(|number| node.classes.get(number));
            if class.map(|class| &class.identity) != to.as_ref() {
                moves.push(Move { id, direction, to });
            }
        }
    }
    moves
}

/// The addresses of a subject before the batch.
fn former_addresses(node: &Node, id: SubjectId) -> &BTreeSet<IpAddr> {
    static NONE: BTreeSet<IpAddr> = BTreeSet::new();
    let subject = node.state.subjects.get(&id);
    subject.map_or(&NONE, |subject| &subject.addresses)
}

/// Whether a subject has any address after the batch.
fn has_pods(node: &Node, id: SubjectId, change: &SubjectChange) -> bool {
    former_addresses(node, id).len() + change.added.len() > change.removed.len()
}

fn identity_after(
    node: &Node,
    id: SubjectId,
    change: &SubjectChange,
    direction: Direction,
) -> Option<Identity> {
    if !has_pods(node, id, change) {
        return None;
    }
    let former = node.state.subjects.get(&id);
    let policies = change.isolated_by.get(&direction.into());
    let policies = policies.or_else(|| former?.isolated_by.get(&direction.into()))?;
    let ports = change.named_ports.as_ref();
    let ports = ports.or_else(|| former.map(|subject| &subject.named_ports));
    let named_ports = match direction {
        Direction::Ingress => ports.cloned().unwrap_or_default(),
        Direction::Egress => Vec::new(),
    };
    let was_audited = || former.is_some_and(|subject| subject.audited.contains(&direction.into()));
    let is_audited = change.audited.get(&direction.into()).copied();
    (!policies.is_empty()).then(|| Identity {
        is_audited: is_audited.unwrap_or_else(was_audited),
        policies: policies.clone(),
        named_ports,
    })
}
