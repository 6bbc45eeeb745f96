//! What changes of a ruleset, by names without epochs: what a [`Node`](crate::node::Node) gives, and what comparing two
//! rulesets gives.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::class_counters;
use crate::digest::Digest;
use crate::element::Element;
use crate::names::Name;
use crate::ruleset::{Chain, Entry, Ruleset, Set};

/// A change of a ruleset. Nothing in it is as it was before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// The digest of the ruleset that it is a change of.
    pub from: Digest,
    /// The digest of the ruleset that it makes.
    pub to: Digest,
    /// The sets that change.
    pub sets: BTreeMap<Name, SetChange>,
    /// The chains that change.
    pub chains: BTreeMap<Name, Change<Chain>>,
    /// The entries that change, by map and address, with the chain that each leads to.
    pub entries: BTreeMap<(Name, IpAddr), Change<Name>>,
    /// The counters of rules that come, `true`, and those that go.
    pub rule_counters: BTreeMap<Name, bool>,
}

/// What happens to a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetChange {
    /// It is new.
    Made(Set),
    /// It goes, with these elements.
    Gone(Set),
    /// It has other elements.
    Changed {
        /// Elements that go.
        removed: BTreeSet<Element>,
        /// Elements that come.
        added: BTreeSet<Element>,
    },
}

/// What something was, and what it becomes: one of both at least, and not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<T> {
    /// What it was; `None` when it was not there.
    pub before: Option<T>,
    /// What it becomes; `None` when it goes.
    pub after: Option<T>,
}

impl Delta {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
            && self.chains.is_empty()
            && self.entries.is_empty()
            && self.rule_counters.is_empty()
    }

    /// The counters that come: of classes those that only chains after the change count with.
    pub(crate) fn new_counters(&self) -> BTreeSet<&Name> {
        let (before, after) = self.class_counters();
        let of_rules = self.rule_counters.iter().filter(|(_, comes)| **comes);
        let of_classes = after.difference(&before).copied();
        of_classes.chain(of_rules.map(|(name, _)| name)).collect()
    }

    /// The counters that go.
    pub(crate) fn gone_counters(&self) -> BTreeSet<&Name> {
        let (before, after) = self.class_counters();
        let of_rules = self.rule_counters.iter().filter(|(_, comes)| !**comes);
        let of_classes = before.difference(&after).copied();
        of_classes.chain(of_rules.map(|(name, _)| name)).collect()
    }

    /// The counters of classes in the chains that change, before and after. A class's chains change together, and no other chain
    /// counts with its counters.
    fn class_counters(&self) -> (BTreeSet<&Name>, BTreeSet<&Name>) {
        let chains = || self.chains.values();
        let before = chains().filter_map(|change| change.before.as_ref());
        let after = chains().filter_map(|change| change.after.as_ref());
        (
            before.flat_map(class_counters::used_by).collect(),
            after.flat_map(class_counters::used_by).collect(),
        )
    }

    /// This change and then another one, as one: what comes and goes again is in neither. The other one must be a change
    /// of what this one makes.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        for (name, change) in later.sets {
            let joined = match self.sets.remove(&name) {
                Some(first) => first.then(change),
                None => Some(change),
            };
            self.sets.extend(joined.map(|change| (name, change)));
        }
        join(&mut self.chains, later.chains);
        join(&mut self.entries, later.entries);
        for (name, comes) in later.rule_counters {
            // What comes and then goes, or goes and comes again, stays as it was.
            if self.rule_counters.remove(&name).is_none() {
                self.rule_counters.insert(name, comes);
            }
        }
        self.to = later.to;
        self
    }

    /// Makes the change in the ruleset that it is a change of, without comments.
    pub fn apply_to(&self, ruleset: &mut Ruleset) {
        for (name, change) in &self.sets {
            match change {
                SetChange::Made(set) => {
                    ruleset.sets.insert(name.clone(), set.clone());
                }
                SetChange::Gone(_) => {
                    ruleset.sets.remove(name);
                }
                SetChange::Changed { removed, added } => {
                    if let Some(set) = ruleset.sets.get_mut(name) {
                        replace(&mut set.elements, removed, added);
                    }
                }
            }
        }
        for name in self.gone_counters() {
            ruleset.counters.remove(name);
        }
        ruleset
            .counters
            .extend(self.new_counters().into_iter().cloned());
        for (name, change) in &self.chains {
            match &change.after {
                Some(chain) => ruleset.chains.insert(name.clone(), chain.clone()),
                None => ruleset.chains.remove(name),
            };
        }
        for ((map, address), change) in &self.entries {
            let Some(map) = ruleset.maps.get_mut(map) else {
                continue;
            };
            match &change.after {
                Some(chain) => map.entries.insert(*address, chain.clone()),
                None => map.entries.remove(address),
            };
        }
    }

    /// Says what the change is a change of, by digest, and tells from its lines what it makes.
    #[must_use]
    pub(crate) fn of(mut self, from: Digest) -> Self {
        let mut digest = from;
        for (name, change) in &self.sets {
            match change {
                SetChange::Made(set) => digest.add_set(name, set),
                SetChange::Gone(set) => {
                    digest -= Digest::of_declaration(name, set);
                    digest -= Digest::of_elements(name, &set.elements);
                }
                SetChange::Changed { removed, added } => {
                    digest -= Digest::of_elements(name, removed);
                    digest += Digest::of_elements(name, added);
                }
            }
        }
        for name in self.gone_counters() {
            digest -= Digest::of_counter(name);
        }
        for name in self.new_counters() {
            digest += Digest::of_counter(name);
        }
        for (name, change) in &self.chains {
            if let Some(chain) = &change.before {
                digest -= Digest::of_chain(name, chain);
            }
            if let Some(chain) = &change.after {
                digest += Digest::of_chain(name, chain);
            }
        }
        for ((map, address), change) in &self.entries {
            if let Some(chain) = &change.before {
                digest -= Digest::of_entry(map, &Entry(*address, chain));
            }
            if let Some(chain) = &change.after {
                digest += Digest::of_entry(map, &Entry(*address, chain));
            }
        }
        (self.from, self.to) = (from, digest);
        self
    }
}

impl SetChange {
    /// The change of a set from some elements to others; `None` when it stays as it is. Sets of one name are of one
    /// type.
    pub(crate) fn between(before: &Set, after: &Set) -> Option<Self> {
        let removed = &before.elements - &after.elements;
        let added = &after.elements - &before.elements;
        Self::of_elements(removed, added)
    }

    fn of_elements(removed: BTreeSet<Element>, added: BTreeSet<Element>) -> Option<Self> {
        let changes = !removed.is_empty() || !added.is_empty();
        changes.then_some(Self::Changed { removed, added })
    }

    fn then(self, later: Self) -> Option<Self> {
        match (self, later) {
            (Self::Made(mut set), Self::Changed { removed, added }) => {
                replace(&mut set.elements, &removed, &added);
                Some(Self::Made(set))
            }
            (Self::Made(_), Self::Gone(_)) => None,
            (Self::Gone(before), Self::Made(after)) => Self::between(&before, &after),
            (Self::Changed { removed, added }, Self::Gone(mut set)) => {
                replace(&mut set.elements, &added, &removed);
                Some(Self::Gone(set))
            }
            (
                Self::Changed { removed, added },
                Self::Changed {
                    removed: then_removed,
                    added: then_added,
                },
            ) => {
                let gone = &(&removed - &then_added) | &(&then_removed - &added);
                let come = &(&added - &then_removed) | &(&then_added - &removed);
                Self::of_elements(gone, come)
            }
            // A set that is there is not made, and one that is not does not change.
            (_, later) => Some(later),
        }
    }
}

fn replace(
    elements: &mut BTreeSet<Element>,
    removed: &BTreeSet<Element>,
    added: &BTreeSet<Element>,
) {
    for element in removed {
        elements.remove(element);
    }
    elements.extend(added);
}

fn join<K: Ord, T: PartialEq>(changes: &mut BTreeMap<K, Change<T>>, later: BTreeMap<K, Change<T>>) {
    for (key, Change { before, after }) in later {
        let before = match changes.remove(&key) {
            Some(first) => first.before,
            None => before,
        };
        if before != after {
            changes.insert(key, Change { before, after });
        }
    }
}
