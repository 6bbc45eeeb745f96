//! Takes changes over, and holds each of them against what was before.

use policy_core::incremental::{
    Changes, NodeState, PermissionChange, PermissionKey, PermissionPeers, RuleChange,
};
use std::collections::BTreeMap;

/// Makes sure that each change of permissions is one.
fn are_changes(
    before: &BTreeMap<PermissionKey, PermissionPeers>,
    changes: &BTreeMap<PermissionKey, PermissionChange>,
) {
    for (key, change) in changes {
        let before = before.get(key);
        match change {
            PermissionChange::Appeared(_) => assert_eq!(before, None),
            PermissionChange::Vanished => assert!(before.is_some()),
            PermissionChange::Changed {
                blocks,
                added,
                removed,
            } => {
                let before = before.expect("a changed permission was there");
                assert_ne!(blocks.as_ref(), Some(&before.blocks));
                assert!(before.addresses.is_disjoint(added));
                assert!(before.addresses.is_superset(removed));
                assert!(blocks.is_some() || !added.is_empty() || !removed.is_empty());
            }
        }
    }
}

/// Takes changes over, and makes sure that each of them is one.
pub(crate) fn take(state: &mut NodeState, changes: &Changes) {
    for id in &changes.vanished {
        assert!(state.subjects.contains_key(id), "{id:?} vanished before");
        assert!(!changes.subjects.contains_key(id));
    }
    for (id, change) in &changes.subjects {
        let before = state.subjects.get(id);
        assert_eq!(change.appeared, before.is_none(), "{id:?}");
        let before = before.cloned().unwrap_or_default();
        assert!(before.addresses.is_disjoint(&change.added));
        assert!(before.addresses.is_superset(&change.removed));
        for (direction, policies) in &change.isolated_by {
            let earlier = before.isolated_by.get(direction).cloned();
            assert_ne!(&earlier.unwrap_or_default(), policies);
        }
        for (direction, is_audited) in &change.audited {
            assert_ne!(before.audited.contains(direction), *is_audited);
        }
        are_changes(&before.permissions, &change.permissions);
        for (id, change) in &change.rules {
            let before = before.rules.get(id);
            match change {
                RuleChange::Gone => assert!(before.is_some(), "{id}"),
                RuleChange::There(changes) => {
                    assert!(before.is_none() || !changes.is_empty(), "{id}");
                    are_changes(&before.cloned().unwrap_or_default(), changes);
                }
            }
        }
        let mut after = NodeState::default();
        after.subjects.insert(*id, before.clone());
        let lone = Changes {
            subjects: BTreeMap::from([(*id, change.clone())]),
            ..Changes::default()
        };
        after.take(&lone);
        assert!(change.appeared || after.subjects[id] != before, "{id:?}");
    }
    for (address, claimants) in &changes.contested {
        assert_ne!(state.contested.get(address), claimants.as_ref());
    }
    state.take(changes);
}
