//! The pods that peers mean: for each distinct peer of the node's policies, its classes, kept by events.

use super::namespaces::NamespaceNumber;
use super::population::Population;
use super::selector_index::{SelectorIndex, is_demanding};
use super::slab::Slab;
use crate::directory::Scope;
use crate::inventory::ClassId;
use crate::labels::Labels;
use crate::resolve::PortName;
use crate::selector::Selector;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// The number of a peer set.
pub(super) type SetNumber = u32;
/// The number of a group of policies.
pub(super) type GroupNumber = u32;

/// What a peer set holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum SetKey {
    /// Pods of one namespace.
    Own(NamespaceNumber, Selector),
    /// Pods of the namespaces that the first selector matches.
    Matching(Selector, Selector),
    /// Pods that give any of these names to a port.
    Bearers(Vec<PortName>),
}

impl SetKey {
    pub(super) fn of(scope: Scope<'_>, pods: &Selector) -> Self {
        match scope {
            Scope::One(namespace) => Self::Own(namespace, pods.clone()),
            Scope::Matching(namespaces) => Self::Matching(namespaces.clone(), pods.clone()),
        }
    }

    fn holds(&self, class: ClassId, population: &Population) -> bool {
        let key = &population.classes[class].key;
        match self {
            Self::Own(namespace, pods) => *namespace == key.namespace && pods.matches(&key.labels),
            Self::Matching(namespaces, pods) => {
                let namespace = population.namespaces.get(key.namespace);
                pods.matches(&key.labels) && namespaces.matches(&namespace.labels)
            }
            Self::Bearers(names) => names.iter().any(|(protocol, name)| {
                let bears = |port: &crate::cluster::ContainerPort| {
                    port.protocol == *protocol && port.name.as_ref() == Some(name)
                };
                key.ports.iter().any(bears)
            }),
        }
    }
}

/// Every peer set that a group on the node needs.
#[derive(Debug, Default)]
pub(super) struct PeerSets {
    sets: Slab<PeerSet>,
    numbers: FxHashMap<SetKey, SetNumber>,
    /// For each class, the sets that it is in.
    of_class: FxHashMap<ClassId, BTreeSet<SetNumber>>,
    own: FxHashMap<NamespaceNumber, SelectorIndex>,
    /// Sets whose `namespaceSelector` demands a label, by it.
    by_namespace: SelectorIndex,
    /// The other ones, by their `podSelector`.
    by_pod: SelectorIndex,
    bearers: BTreeSet<SetNumber>,
}

#[derive(Debug)]
struct PeerSet {
    key: SetKey,
    /// In ascending order.
    classes: Vec<ClassId>,
    users: BTreeSet<GroupNumber>,
}

impl PeerSets {
    /// Lets a group use the set of `key`, which is made unless somebody uses it already.
    pub(super) fn acquire(
        &mut self,
        key: SetKey,
        group: GroupNumber,
        population: &Population,
    ) -> SetNumber {
        if let Some(&number) = self.numbers.get(&key) {
            self.sets[number].users.insert(group);
            return number;
        }
        let classes = match &key {
            SetKey::Own(namespace, pods) => population.select(Scope::One(*namespace), pods),
            SetKey::Matching(namespaces, pods) => {
                population.select(Scope::Matching(namespaces), pods)
            }
            SetKey::Bearers(names) => population.bearers(names).into_iter().collect(),
        };
        let number = self.sets.insert(PeerSet {
            key: key.clone(),
            classes: Vec::new(),
            users: BTreeSet::from([group]),
        });
        for &class in &classes {
            self.of_class.entry(class).or_default().insert(number);
        }
        self.sets[number].classes = classes;
        self.file(&key, number);
        self.numbers.insert(key, number);
        number
    }

    /// A group does not use the set any more, which goes with its last user.
    pub(super) fn release(&mut self, number: SetNumber, group: GroupNumber) {
        let set = &mut self.sets[number];
        set.users.remove(&group);
        if !set.users.is_empty() {
            return;
        }
        if let Some(set) = self.sets.remove(number) {
            self.unfile(&set.key, number);
            self.numbers.remove(&set.key);
            for class in set.classes {
                self.forget(class, number);
            }
        }
    }

    fn file(&mut self, key: &SetKey, number: SetNumber) {
        match key {
            SetKey::Own(namespace, pods) => {
                self.own.entry(*namespace).or_default().insert(pods, number);
            }
            SetKey::Matching(namespaces, _) if is_demanding(namespaces) => {
                self.by_namespace.insert(namespaces, number);
            }
            SetKey::Matching(_, pods) => self.by_pod.insert(pods, number),
            SetKey::Bearers(_) => {
                self.bearers.insert(number);
            }
        }
    }

    fn unfile(&mut self, key: &SetKey, number: SetNumber) {
        match key {
            SetKey::Own(namespace, pods) => {
                if let Some(index) = self.own.get_mut(namespace) {
                    index.remove(pods, number);
                    if index.is_empty() {
                        self.own.remove(namespace);
                    }
                }
            }
            SetKey::Matching(namespaces, _) if is_demanding(namespaces) => {
                self.by_namespace.remove(namespaces, number);
            }
            SetKey::Matching(_, pods) => self.by_pod.remove(pods, number),
            SetKey::Bearers(_) => {
                self.bearers.remove(&number);
            }
        }
    }

    fn forget(&mut self, class: ClassId, number: SetNumber) {
        if let Some(sets) = self.of_class.get_mut(&class) {
            sets.remove(&number);
            if sets.is_empty() {
                self.of_class.remove(&class);
            }
        }
    }

    /// Puts a new class into the sets that it belongs to; gives these.
    pub(super) fn add_class(&mut self, class: ClassId, population: &Population) -> Vec<SetNumber> {
        let key = &population.classes[class].key;
        let namespace = &population.namespaces.get(key.namespace).labels;
        let own = self.own.get(&key.namespace);
        let own = own
            .into_iter()
            .flat_map(|index| index.candidates(&key.labels));
        let candidates = own
            .chain(self.by_namespace.candidates(namespace))
            .chain(self.by_pod.candidates(&key.labels))
            .chain(self.bearers.iter().copied());
        let holding: Vec<SetNumber> = candidates
            .filter(|&number| self.sets[number].key.holds(class, population))
            .collect();
        for &number in &holding {
            self.insert(number, class);
        }
        holding
    }

    /// Takes a class out of its sets; gives these.
    pub(super) fn remove_class(&mut self, class: ClassId) -> BTreeSet<SetNumber> {
        let sets = self.of_class.remove(&class).unwrap_or_default();
        for &number in &sets {
            remove_sorted(&mut self.sets[number].classes, class);
        }
        sets
    }

    fn insert(&mut self, number: SetNumber, class: ClassId) {
        let classes = &mut self.sets[number].classes;
        if let Err(at) = classes.binary_search(&class) {
            classes.insert(at, class);
        }
        self.of_class.entry(class).or_default().insert(number);
    }

    /// A namespace has other labels than `before`: moves its classes in and out of the sets whose `namespaceSelector`
    /// now says otherwise; gives these sets.
    pub(super) fn relabel(
        &mut self,
        namespace: NamespaceNumber,
        before: &Labels,
        population: &Population,
    ) -> Vec<SetNumber> {
        let now = population.namespaces.get(namespace);
        let candidates: BTreeSet<SetNumber> = self
            .by_namespace
            .candidates(before)
            .chain(self.by_namespace.candidates(&now.labels))
            .chain(self.undemanding())
            .collect();
        let mut changed = Vec::new();
        for number in candidates {
            let SetKey::Matching(namespaces, pods) = self.sets[number].key.clone() else {
                continue;
            };
            let is_in = namespaces.matches(&now.labels);
            if is_in == namespaces.matches(before) {
                continue;
            }
            changed.push(number);
            for &class in &now.classes {
                if !pods.matches(&population.classes[class].key.labels) {
                    continue;
                }
                if is_in {
                    self.insert(number, class);
                } else {
                    remove_sorted(&mut self.sets[number].classes, class);
                    self.forget(class, number);
                }
            }
        }
        changed
    }

    /// The sets whose `namespaceSelector` demands nothing; most of them match every namespace.
    fn undemanding(&self) -> impl Iterator<Item = SetNumber> {
        let excluding = self.sets.iter().filter(|(_, set)| match &set.key {
            SetKey::Matching(namespaces, _) => {
                !namespaces.is_everything() && !is_demanding(namespaces)
            }
            SetKey::Own(..) | SetKey::Bearers(_) => false,
        });
        excluding.map(|(number, _)| number)
    }

    /// The classes of a set, in ascending order; none when no group uses it.
    pub(super) fn classes(&self, key: &SetKey) -> &[ClassId] {
        match self.numbers.get(key) {
            Some(&number) => &self.sets[number].classes,
            None => &[],
        }
    }

    /// The groups that use a set; none when it is gone.
    pub(super) fn users(&self, number: SetNumber) -> impl Iterator<Item = GroupNumber> {
        let set = self.sets.get(number).into_iter();
        set.flat_map(|set| &set.users).copied()
    }

    /// The groups that use a set which `class` is in.
    pub(super) fn users_of_class(&self, class: ClassId) -> impl Iterator<Item = GroupNumber> {
        let sets = self.of_class.get(&class);
        let sets = sets.into_iter().flatten().copied();
        sets.flat_map(|number| self.users(number))
    }

    /// The numbers of sets, and of entries of indexes.
    pub(super) fn counts(&self) -> [usize; 2] {
        let indexes = self.numbers.len()
            + self.of_class.len()
            + self.own.len()
            + self.bearers.len()
            + usize::from(!self.by_namespace.is_empty())
            + usize::from(!self.by_pod.is_empty());
        [self.sets.len(), indexes]
    }
}

fn remove_sorted(classes: &mut Vec<ClassId>, class: ClassId) {
    if let Ok(at) = classes.binary_search(&class) {
        classes.remove(at);
    }
}
