//! Changes of permissions that are about addresses of pods alone, so that only what is about these addresses changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy_core::incremental::{PermissionChange, PermissionKey, PermissionPeers};

use crate::class_chain::Direction;

/// Addresses that come to permissions or go from them.
pub(super) struct Moved {
    pub(super) addresses: BTreeSet<IpAddr>,
    /// How many addresses of pods each permission is for afterwards.
    pub(super) counts: Vec<usize>,
}

impl Moved {
    /// What becomes of permissions in a direction; `None` when more than addresses of pods changes.
    pub(super) fn by(
        permissions: &BTreeMap<PermissionKey, PermissionPeers>,
        changes: &BTreeMap<PermissionKey, PermissionChange>,
        direction: Direction,
    ) -> Option<Self> {
        let is_here = |key: &PermissionKey| key.direction == direction.into();
        let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
        for (_, change) in changes.iter().filter(|(key, _)| is_here(key)) {
            match change {
                PermissionChange::Changed {
                    blocks: None,
                    added,
                    removed,
                } => addresses.extend(added.iter().chain(removed)),
                _ => return None,
            }
        }
        let permissions = permissions.iter().filter(|(key, _)| is_here(key));
        let counts = permissions.map(|(key, peers)| {
            let count = peers.addresses.len();
            match changes.get(key) {
                Some(PermissionChange::Changed { added, removed, .. }) => {
                    count + added.len() - removed.len()
                }
                _ => count,
            }
        });
        Some(Self {
            counts: counts.collect(),
            addresses,
        })
    }
}
