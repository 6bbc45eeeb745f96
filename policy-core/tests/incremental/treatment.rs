//! What a node does about each address, as the engine's changes made it and as a compiled graph says it.

use policy_core::incremental::{NodeState, PermissionKey, PermissionPeers};
use policy_core::rules::Rules;
use policy_core::{Direction, Isolation, Pod, PolicyId, RuleGraph, RuleId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// What a node does about one address, without the numbers of classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Treatment {
    isolated: BTreeSet<Direction>,
    isolated_by: BTreeMap<Direction, BTreeSet<PolicyId>>,
    audited: BTreeSet<Direction>,
    permissions: BTreeMap<PermissionKey, PermissionPeers>,
    rules: BTreeMap<RuleId, BTreeMap<PermissionKey, PermissionPeers>>,
}

pub(crate) type Treatments = BTreeMap<IpAddr, Treatment>;

pub(crate) fn of_state(state: &NodeState) -> Treatments {
    let mut treatments = Treatments::new();
    for subject in state.subjects.values() {
        for &address in &subject.addresses {
            let treatment = Treatment {
                isolated: subject.isolated_by.keys().copied().collect(),
                isolated_by: subject.isolated_by.clone(),
                audited: subject.audited.clone(),
                permissions: subject.permissions.clone(),
                rules: subject.rules.clone(),
            };
            let earlier = treatments.insert(address, treatment);
            assert_eq!(earlier, None, "{address} is in two subject classes");
        }
    }
    treatments
}

/// What each rule that decides about a pod admits.
fn rules_of(
    rules: &mut Rules<'_>,
    pod: &Pod,
) -> BTreeMap<RuleId, BTreeMap<PermissionKey, PermissionPeers>> {
    let mut of_pod = BTreeMap::new();
    for direction in Direction::ALL {
        for (id, permissions) in rules.of(pod, direction) {
            let permissions = permissions.into_iter().map(|permission| {
                let key = PermissionKey {
                    direction,
                    everyone: permission.everyone,
                    ports: permission.ports,
                };
                let peers = PermissionPeers {
                    blocks: permission.blocks,
                    addresses: permission.addresses,
                };
                (key, peers)
            });
            of_pod.insert(id, permissions.collect());
        }
    }
    of_pod
}

pub(crate) fn of_graph(whole: &RuleGraph, minimal: &RuleGraph, node: &str) -> Treatments {
    let mut treatments = Treatments::new();
    let mut rules = minimal.rules();
    for subject in minimal.subjects() {
        let mut permissions = BTreeMap::new();
        for direction in Direction::ALL {
            for permission in subject.permissions(direction) {
                let key = PermissionKey {
                    direction,
                    everyone: permission.is_for_everyone(),
                    ports: Arc::new(permission.ports().clone()),
                };
                let pods = permission.pods();
                let peers = PermissionPeers {
                    blocks: Arc::new(permission.blocks().clone()),
                    addresses: pods.flat_map(|(_, addresses)| addresses).collect(),
                };
                assert!(permissions.insert(key, peers).is_none());
            }
        }
        let isolated = Direction::ALL.into_iter();
        let isolated = isolated.filter(|&direction| subject.is_isolated(direction));
        let audited = Direction::ALL.into_iter();
        let audited =
            audited.filter(|&direction| subject.isolation(direction) == Isolation::Audited);
        let treatment = Treatment {
            isolated: isolated.collect(),
            isolated_by: BTreeMap::new(),
            audited: audited.collect(),
            permissions,
            rules: BTreeMap::new(),
        };
        for pod in subject.pods() {
            if pod.node.as_deref() == Some(node) {
                let treatment = Treatment {
                    rules: rules_of(&mut rules, pod),
                    ..treatment.clone()
                };
                let addresses = minimal.addresses(pod).into_iter();
                treatments.extend(addresses.map(|address| (address, treatment.clone())));
            }
        }
    }
    // Minimizing merges classes that different policies isolate; the whole graph tells whose policies are whose.
    for subject in whole.subjects() {
        for address in subject.pods().iter().flat_map(|pod| whole.addresses(pod)) {
            let Some(treatment) = treatments.get_mut(&address) else {
                continue;
            };
            for &direction in &treatment.isolated {
                let policies = subject.policies(direction).into_iter().cloned();
                treatment.isolated_by.insert(direction, policies.collect());
            }
        }
    }
    treatments
}
