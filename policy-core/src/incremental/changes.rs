//! What a batch of events changed for the node, and the node's state as a renderer keeps it.

use crate::cluster::{ContainerPort, PodId};
use crate::flow::Direction;
use crate::ip_set::IpSet;
use crate::policy::PolicyId;
use crate::port_set::PortSet;
use crate::rules::RuleId;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// A subject class, by a number that is never given to another one. It stays the same while policies come and go,
/// for as long as the class's pods stay together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectId(pub(super) u64);

/// One permission of a subject class: no two of a class have the same key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermissionKey {
    /// The direction.
    pub direction: Direction,
    /// Whether it is for everyone, inside the cluster or not.
    pub everyone: bool,
    /// The ports that it admits.
    pub ports: Arc<PortSet>,
}

/// Who a permission is for, beside everyone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PermissionPeers {
    /// By `ipBlock`.
    pub blocks: Arc<IpSet>,
    /// By label: the addresses that are these pods' alone.
    pub addresses: BTreeSet<IpAddr>,
}

/// What happened to a permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PermissionChange {
    /// It is new.
    Appeared(PermissionPeers),
    /// It is for other peers now.
    Changed {
        /// Its blocks, if they are other ones.
        blocks: Option<Arc<IpSet>>,
        /// Addresses of pods that it was not for.
        added: BTreeSet<IpAddr>,
        /// Addresses of pods that it is not for any more.
        removed: BTreeSet<IpAddr>,
    },
    /// It is gone.
    Vanished,
}

/// What happened to a subject class.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubjectChange {
    /// Whether it is new; then everything about it is listed here as added.
    pub appeared: bool,
    /// Addresses of pods on the node that are in the class now.
    pub added: BTreeSet<IpAddr>,
    /// Addresses that are not in the class any more.
    pub removed: BTreeSet<IpAddr>,
    /// For each direction in which other policies isolate the class now, these policies; none when it is not isolated
    /// any more.
    pub isolated_by: BTreeMap<Direction, BTreeSet<PolicyId>>,
    /// The directions that became audited, `true`, and those that are it no more, `false`: enforced now, or open.
    pub audited: BTreeMap<Direction, bool>,
    /// The named ports of its pods that policies of ingress can mean by name, if they are other ones now.
    pub named_ports: Option<Vec<ContainerPort>>,
    /// The permissions that changed.
    pub permissions: BTreeMap<PermissionKey, PermissionChange>,
    /// The rules that changed, in an engine that tells rules.
    pub rules: BTreeMap<RuleId, RuleChange>,
}

/// What happened to a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleChange {
    /// It is there, and these of its permissions changed; none in a new rule that admits nobody.
    There(BTreeMap<PermissionKey, PermissionChange>),
    /// It is gone.
    Gone,
}

/// Everything that a batch of events changed for the node. Nothing in it is as it was before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// The subject classes that appeared or changed.
    pub subjects: BTreeMap<SubjectId, SubjectChange>,
    /// The subject classes that are gone.
    pub vanished: BTreeSet<SubjectId>,
    /// Addresses that several live pods claim, one of them on the node: their claimants now, `None` when the address
    /// is not contested any more.
    pub contested: BTreeMap<IpAddr, Option<Vec<PodId>>>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A subject class as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubjectState {
    /// The addresses of its pods on the node.
    pub addresses: BTreeSet<IpAddr>,
    /// The policies that isolate it, for each direction in which any does.
    pub isolated_by: BTreeMap<Direction, BTreeSet<PolicyId>>,
    /// The directions in which all of these are in audit mode, so that nothing is denied.
    pub audited: BTreeSet<Direction>,
    /// The named ports of its pods that policies of ingress can mean by name; none when no such policy names a port.
    /// Two classes that the same policies isolate differ in what they may receive by these ports alone.
    pub named_ports: Vec<ContainerPort>,
    /// Its permissions.
    pub permissions: BTreeMap<PermissionKey, PermissionPeers>,
    /// What each rule of the policies that isolate it admits by itself, in an engine that tells rules.
    pub rules: BTreeMap<RuleId, BTreeMap<PermissionKey, PermissionPeers>>,
}

/// All that a node enforces, as [`Changes`] since the first make it up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeState {
    /// The subject classes.
    pub subjects: BTreeMap<SubjectId, SubjectState>,
    /// The contested addresses, with their claimants.
    pub contested: BTreeMap<IpAddr, Vec<PodId>>,
}

impl NodeState {
    /// Takes changes over. They have to come in the order in which the engine gave them.
    pub fn take(&mut self, changes: &Changes) {
        for id in &changes.vanished {
            self.subjects.remove(id);
        }
        for (id, change) in &changes.subjects {
            self.subjects.entry(*id).or_default().take(change);
        }
        for (address, claimants) in &changes.contested {
            match claimants {
                Some(claimants) => self.contested.insert(*address, claimants.clone()),
                None => self.contested.remove(address),
            };
        }
    }
}

impl SubjectState {
    fn take(&mut self, change: &SubjectChange) {
        for address in &change.removed {
            self.addresses.remove(address);
        }
        self.addresses.extend(&change.added);
        if let Some(ports) = &change.named_ports {
            self.named_ports.clone_from(ports);
        }
        for (direction, policies) in &change.isolated_by {
            if policies.is_empty() {
                self.isolated_by.remove(direction);
            } else {
                self.isolated_by.insert(*direction, policies.clone());
            }
        }
        for (direction, is_audited) in &change.audited {
            if *is_audited {
                self.audited.insert(*direction);
            } else {
                self.audited.remove(direction);
            }
        }
        take(&mut self.permissions, &change.permissions);
        for (id, change) in &change.rules {
            match change {
                RuleChange::There(changes) => {
                    take(self.rules.entry(id.clone()).or_default(), changes);
                }
                RuleChange::Gone => {
                    self.rules.remove(id);
                }
            }
        }
    }
}

fn take(
    permissions: &mut BTreeMap<PermissionKey, PermissionPeers>,
    changes: &BTreeMap<PermissionKey, PermissionChange>,
) {
    for (key, change) in changes {
        match change {
            PermissionChange::Appeared(peers) => {
                permissions.insert(key.clone(), peers.clone());
            }
            PermissionChange::Vanished => {
                permissions.remove(key);
            }
            PermissionChange::Changed {
                blocks,
                added,
                removed,
            } => {
                let peers = permissions.entry(key.clone()).or_default();
                if let Some(blocks) = blocks {
                    peers.blocks = blocks.clone();
                }
                for address in removed {
                    peers.addresses.remove(address);
                }
                peers.addresses.extend(added);
            }
        }
    }
}
