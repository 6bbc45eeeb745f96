//! Collects what changes of a ruleset, object by object, whoever the objects belong to before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::delta::{Change, Delta, SetChange};
use crate::element::{Element, Key};
use crate::names::Name;
use crate::ruleset::{Chain, Set};

use super::counting::Users;

/// The changes so far. An object that goes and comes back under the same name has only changed.
#[derive(Default)]
pub(super) struct Tally {
    sets: BTreeMap<Name, SetTally>,
    chains: BTreeMap<Name, Change<Chain>>,
    entries: BTreeMap<(Name, IpAddr), Change<Name>>,
    /// Counters of rules, with whether they were there before.
    rule_counters: BTreeMap<Name, bool>,
}

struct SetTally {
    key: Key,
    interval: bool,
    /// Whether the set stays when it is made once and has no elements.
    stays_empty: bool,
    /// How many elements there were.
    before: usize,
    removed: BTreeSet<Element>,
    added: BTreeSet<Element>,
}

impl Tally {
    /// Elements that go and come in a set that had `before` elements; a set is there while it has any.
    pub(super) fn set(
        &mut self,
        name: Name,
        (interval, key): (bool, Key),
        before: usize,
        removed: impl IntoIterator<Item = Element>,
        added: impl IntoIterator<Item = Element>,
    ) {
        let tally = self
            .sets
            .entry(name)
            .or_insert_with(|| SetTally::new(key, interval));
        tally.before += before;
        tally.removed.extend(removed);
        tally.added.extend(added);
    }

    /// An element of a set that is always there.
    pub(super) fn standing(
        &mut self,
        name: Name,
        (interval, key): (bool, Key),
        element: Element,
        is_added: bool,
    ) {
        let new = || SetTally {
            stays_empty: true,
            ..SetTally::new(key, interval)
        };
        let tally = self.sets.entry(name).or_insert_with(new);
        let elements = if is_added {
            &mut tally.added
        } else {
            &mut tally.removed
        };
        elements.insert(element);
    }

    /// A chain as it was.
    pub(super) fn chain_before(&mut self, name: Name, chain: Chain) {
        self.chains
            .entry(name)
            .or_insert_with(Change::nothing)
            .before = Some(chain);
    }

    /// A chain as it is now.
    pub(super) fn chain_after(&mut self, name: Name, chain: Chain) {
        self.chains
            .entry(name)
            .or_insert_with(Change::nothing)
            .after = Some(chain);
    }

    /// An entry as it was.
    pub(super) fn entry_before(&mut self, map: Name, address: IpAddr, chain: Name) {
        let entry = self.entries.entry((map, address));
        entry.or_insert_with(Change::nothing).before = Some(chain);
    }

    /// An entry as it is now.
    pub(super) fn entry_after(&mut self, map: Name, address: IpAddr, chain: Name) {
        let entry = self.entries.entry((map, address));
        entry.or_insert_with(Change::nothing).after = Some(chain);
    }

    /// A rule's counter that comes or goes, or gets other users: whether it is there just now.
    pub(super) fn rule_counter(&mut self, name: Name, is_there: bool) {
        self.rule_counters.entry(name).or_insert(is_there);
    }

    /// What all that changes; `users` tells which counters of rules are there now.
    pub(super) fn into_delta(self, users: &Users) -> Delta {
        let sets = self.sets.into_iter();
        let mut delta = Delta {
            sets: sets
                .filter_map(|(name, tally)| Some((name, tally.into_change()?)))
                .collect(),
            chains: self.chains,
            entries: self.entries,
            rule_counters: self
                .rule_counters
                .into_iter()
                .map(|(name, was_there)| (users.has(&name), was_there, name))
                .filter(|(is_there, was_there, _)| is_there != was_there)
                .map(|(is_there, _, name)| (name, is_there))
                .collect(),
            ..Delta::default()
        };
        delta
            .chains
            .retain(|_, change| change.before != change.after);
        delta
            .entries
            .retain(|_, change| change.before != change.after);
        delta
    }
}

impl SetTally {
    fn new(key: Key, interval: bool) -> Self {
        Self {
            key,
            interval,
            stays_empty: false,
            before: 0,
            removed: BTreeSet::new(),
            added: BTreeSet::new(),
        }
    }

    fn into_change(self) -> Option<SetChange> {
        let (removed, added) = if self.removed.is_disjoint(&self.added) {
            (self.removed, self.added)
        } else {
            (&self.removed - &self.added, &self.added - &self.removed)
        };
        if removed.is_empty() && added.is_empty() {
            return None;
        }
        let set = |elements| Set {
            elements,
            ..Set::new(self.key, self.interval)
        };
        Some(if self.stays_empty {
            SetChange::Changed { removed, added }
        } else if self.before == 0 {
            SetChange::Made(set(added))
        } else if self.before == removed.len() && added.is_empty() {
            SetChange::Gone(set(removed))
        } else {
            SetChange::Changed { removed, added }
        })
    }
}

impl<T> Change<T> {
    fn nothing() -> Self {
        Self {
            before: None,
            after: None,
        }
    }
}
