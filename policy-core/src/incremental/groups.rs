//! Policies of one namespace with one `podSelector`, as groups, and which of them select pods of the node.

use super::namespaces::NamespaceNumber;
use super::peer_sets::{GroupNumber, PeerSets, SetKey, SetNumber};
use super::population::Population;
use super::selector_index::SelectorIndex;
use super::slab::Slab;
use crate::directory::Scope;
use crate::inventory::ClassId;
use crate::ip_set::IpSet;
use crate::policy::{Namespaces, Peer, Peers, Policy, PolicyId, Rule};
use crate::resolve::split;
use crate::selector::Selector;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// All policies of the cluster. Only groups that select pods of the node are looked into.
#[derive(Debug, Default)]
pub(super) struct Groups {
    by_number: Slab<Group>,
    numbers: FxHashMap<(NamespaceNumber, Selector), GroupNumber>,
    by_namespace: FxHashMap<NamespaceNumber, SelectorIndex>,
    policies: FxHashMap<PolicyId, GroupNumber>,
    /// For each class of pods on the node, the groups that select it.
    of_class: FxHashMap<ClassId, BTreeSet<GroupNumber>>,
    /// The blocks whose pods' named ports a group asks for.
    named_blocks: BTreeMap<GroupNumber, Vec<IpSet>>,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) namespace: NamespaceNumber,
    pub(super) subjects: Selector,
    pub(super) policies: BTreeMap<PolicyId, Arc<Policy>>,
    /// The classes of pods on the node that it selects.
    pub(super) classes: BTreeSet<ClassId>,
    /// Whether it uses the peer sets that its policies need, as it does while it selects any.
    is_active: bool,
    sets: BTreeSet<SetNumber>,
}

impl Groups {
    pub(super) fn group(&self, number: GroupNumber) -> &Group {
        &self.by_number[number]
    }

    pub(super) fn policy(&self, id: &PolicyId) -> Option<&Arc<Policy>> {
        let &group = self.policies.get(id)?;
        self.by_number[group].policies.get(id)
    }

    pub(super) fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        let groups = self.by_number.iter();
        groups.flat_map(|(_, group)| group.policies.values())
    }

    /// The policies of one namespace.
    pub(super) fn policies_of(&self, namespace: NamespaceNumber) -> Vec<Arc<Policy>> {
        let index = self.by_namespace.get(&namespace);
        let numbers = index.map(SelectorIndex::numbers).unwrap_or_default();
        let policies = numbers
            .into_iter()
            .flat_map(|number| self.by_number[number].policies.values());
        policies.cloned().collect()
    }

    /// Takes a policy out; gives its group, which stays even when it is empty now, until
    /// [`drop_empty`](Self::drop_empty).
    pub(super) fn remove(&mut self, id: &PolicyId) -> Option<GroupNumber> {
        let number = self.policies.remove(id)?;
        self.by_number[number].policies.remove(id);
        Some(number)
    }

    /// Puts a policy in; gives its group.
    pub(super) fn insert(&mut self, policy: Policy, namespace: NamespaceNumber) -> GroupNumber {
        let key = (namespace, policy.subjects.clone());
        let number = if let Some(&number) = self.numbers.get(&key) {
            number
        } else {
            let number = self.by_number.insert(Group {
                namespace,
                subjects: policy.subjects.clone(),
                policies: BTreeMap::new(),
                classes: BTreeSet::new(),
                is_active: false,
                sets: BTreeSet::new(),
            });
            let index = self.by_namespace.entry(namespace).or_default();
            index.insert(&policy.subjects, number);
            self.numbers.insert(key, number);
            number
        };
        self.policies.insert(policy.id.clone(), number);
        let policies = &mut self.by_number[number].policies;
        policies.insert(policy.id.clone(), Arc::new(policy));
        number
    }

    /// The groups that select a class.
    pub(super) fn of_class(&self, class: ClassId) -> impl Iterator<Item = GroupNumber> {
        let groups = self.of_class.get(&class);
        groups.into_iter().flatten().copied()
    }

    /// Finds anew the groups that select a class; gives those that it entered or left.
    pub(super) fn select(&mut self, class: ClassId, population: &Population) -> Vec<GroupNumber> {
        let entry = &population.classes[class].key;
        let is_local = population
            .namespaces
            .get(entry.namespace)
            .local
            .contains(&class);
        let index = self.by_namespace.get(&entry.namespace);
        let candidates = index
            .filter(|_| is_local)
            .into_iter()
            .flat_map(|index| index.candidates(&entry.labels));
        let is_match = |number: &GroupNumber| {
            let group = &self.by_number[*number];
            !group.policies.is_empty() && group.subjects.matches(&entry.labels)
        };
        let now: BTreeSet<GroupNumber> = candidates.filter(is_match).collect();
        let before = self.of_class.remove(&class).unwrap_or_default();
        for &number in before.difference(&now) {
            self.by_number[number].classes.remove(&class);
        }
        for &number in now.difference(&before) {
            self.by_number[number].classes.insert(class);
        }
        let changed = before.symmetric_difference(&now).copied().collect();
        if !now.is_empty() {
            self.of_class.insert(class, now);
        }
        changed
    }

    /// Lets a group use the peer sets that its policies need now, if it selects any pod of the node. Nothing is to do
    /// where it did before, unless its policies have changed.
    pub(super) fn refresh(
        &mut self,
        number: GroupNumber,
        has_changed: bool,
        sets: &mut PeerSets,
        population: &Population,
    ) {
        let group = &mut self.by_number[number];
        let was_active = std::mem::replace(&mut group.is_active, !group.classes.is_empty());
        if group.is_active == was_active && !has_changed {
            return;
        }
        let mut needs = Needs::default();
        if group.is_active {
            for policy in group.policies.values() {
                needs.add(policy, group.namespace);
            }
        }
        let keys = needs.keys.into_iter();
        let now: BTreeSet<SetNumber> = keys
            .map(|key| sets.acquire(key, number, population))
            .collect();
        for &set in group.sets.difference(&now) {
            sets.release(set, number);
        }
        group.sets = now;
        if needs.blocks.is_empty() {
            self.named_blocks.remove(&number);
        } else {
            self.named_blocks.insert(number, needs.blocks);
        }
    }

    /// The groups that ask for the named ports of what is at `address`.
    pub(super) fn asking_at(&self, address: IpAddr) -> impl Iterator<Item = GroupNumber> {
        let asking = self.named_blocks.iter();
        asking
            .filter(move |(_, blocks)| blocks.iter().any(|block| block.contains(address)))
            .map(|(&number, _)| number)
    }

    /// Forgets a group without policies.
    pub(super) fn drop_empty(&mut self, number: GroupNumber) {
        if !self.by_number[number].policies.is_empty() {
            return;
        }
        if let Some(group) = self.by_number.remove(number) {
            if let Some(index) = self.by_namespace.get_mut(&group.namespace) {
                index.remove(&group.subjects, number);
                if index.is_empty() {
                    self.by_namespace.remove(&group.namespace);
                }
            }
            self.numbers.remove(&(group.namespace, group.subjects));
        }
    }

    /// The numbers of policies, groups, and entries of indexes.
    pub(super) fn counts(&self) -> [usize; 3] {
        let indexes = self.numbers.len()
            + self.by_namespace.len()
            + self.of_class.len()
            + self.named_blocks.len();
        [self.policies.len(), self.by_number.len(), indexes]
    }
}

/// What a group's policies have to know of pods.
#[derive(Default)]
struct Needs {
    keys: BTreeSet<SetKey>,
    blocks: Vec<IpSet>,
}

impl Needs {
    fn add(&mut self, policy: &Policy, namespace: NamespaceNumber) {
        for rule in &policy.ingress {
            if let Rule::Allow {
                peers: Peers::Listed(peers),
                ..
            } = rule
            {
                self.add_pods(peers, namespace);
            }
        }
        for rule in &policy.egress {
            let Rule::Allow { peers, ports } = rule else {
                continue;
            };
            let (_, names) = split(ports);
            match peers {
                Peers::Everyone if names.is_empty() => {}
                Peers::Everyone => {
                    self.keys.insert(SetKey::Bearers(names));
                }
                Peers::Listed(peers) => {
                    self.add_pods(peers, namespace);
                    if !names.is_empty() {
                        self.add_blocks(peers);
                    }
                }
            }
        }
    }

    fn add_pods(&mut self, peers: &[Peer], own: NamespaceNumber) {
        self.keys.extend(peers.iter().filter_map(|peer| match peer {
            Peer::Pods { namespaces, pods } => {
                let scope = match namespaces {
                    Namespaces::Own => Scope::One(own),
                    Namespaces::Matching(selector) => Scope::Matching(selector),
                };
                Some(SetKey::of(scope, pods))
            }
            Peer::Block(_) => None,
        }));
    }

    fn add_blocks(&mut self, peers: &[Peer]) {
        self.blocks
            .extend(peers.iter().filter_map(|peer| match peer {
                Peer::Block(block) => Some(block.addresses()),
                Peer::Pods { .. } => None,
            }));
    }
}
