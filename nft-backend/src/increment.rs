//! The transactions of a change in place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::changes::{Changes, is_pairs};
use crate::diff::{Bump, Planned, Step};
use crate::element::Element;
use crate::generation::MarkBits;
use crate::in_force::stamp_comment;
use crate::layout::generation_chains;
use crate::load::{add_rules, comment, create, remove};
use crate::names::{BASE, Name, STAMP};
use crate::placement::{Placement, View};
use crate::ruleset::{Ruleset, Set};
use crate::transaction::{Object, Target, Transaction};

/// Writes the steps of a change that [`Changes::can_be_made_in_place`].
pub(crate) struct Increment<'a> {
    pub(crate) table: &'a Name,
    pub(crate) placement: &'a Placement<'a>,
    pub(crate) desired: &'a View<'a>,
    pub(crate) changes: &'a Changes<'a>,
    /// The set that holds the new digest.
    pub(crate) digest: Set,
}

impl Increment<'_> {
    pub(crate) fn steps(&self) -> Planned {
        let mut bump = self
            .placement
            .generation
            .map(|(bits, current)| Bump { bits, current });
        let bumped = bump;
        let mut take = self.take();
        let mut steps = Vec::new();
        let take_clears = self.bump(&mut take, &mut bump, self.changes.takes_away_in_place());
        let mut moves = self.moves();
        let moves_clear = self.bump(&mut moves, &mut bump, self.changes.takes_away_by_moving());
        let mut transactions = [
            (None, self.create()),
            (take_clears, take),
            (moves_clear, moves),
            (None, self.give()),
            (None, self.clean_up()),
        ];
        self.write_digest(&mut transactions);
        for (clear, transaction) in transactions {
            steps.extend(clear.map(Step::ClearMarks));
            if !transaction.is_empty() {
                steps.push(Step::Apply(transaction));
            }
        }
        Planned {
            steps,
            bumped: bump != bumped,
        }
    }

    /// What nothing leads to yet, and the pairs of pods with themselves.
    fn create(&self) -> Transaction {
        let mut made = Ruleset::new(self.table.clone());
        let (old, new) = (&self.placement.view, self.desired);
        for (name, set) in &new.sets {
            if !old.sets.contains_key(name) {
                made.sets.insert(self.place(name), (*set).clone());
            }
        }
        for (name, chain) in &new.chains {
            if !old.chains.contains_key(name) {
                let chain = chain.rename(&|name| self.place(name));
                made.chains.insert(self.place(name), chain);
            }
        }
        let mut transaction = Transaction::new(self.table.clone());
        if !made.sets.is_empty() || !made.chains.is_empty() {
            transaction = create(made);
        }
        for (set, elements) in self.of_pairs(&self.changes.added, true) {
            let set = self.place(set);
            transaction.add(Object::Elements { set, elements });
        }
        transaction
    }

    /// Elements that go, and addresses that become isolated.
    fn take(&self) -> Transaction {
        let mut transaction = Transaction::new(self.table.clone());
        for (set, elements) in self.of_pairs(&self.changes.removed, false) {
            let set = self.place(set);
            transaction.delete(Target::Elements { set, elements });
        }
        let isolated = self.changes.isolated.iter();
        for (map, entries) in self.by_map(isolated.map(|(place, chain)| (*place, *chain))) {
            transaction.add(Object::Entries { map, entries });
        }
        transaction
    }

    /// Addresses that come to another class.
    fn moves(&self) -> Transaction {
        let mut transaction = Transaction::new(self.table.clone());
        let moved = || self.changes.moved.iter();
        for (map, entries) in self.by_map(moved().map(|(place, (old, _))| (*place, *old))) {
            transaction.delete(Target::Entries { map, entries });
        }
        for (map, entries) in self.by_map(moved().map(|(place, (_, new))| (*place, *new))) {
            transaction.add(Object::Entries { map, entries });
        }
        transaction
    }

    /// Elements that come, and addresses that are isolated no more.
    fn give(&self) -> Transaction {
        let mut transaction = Transaction::new(self.table.clone());
        for (set, elements) in self.of_pairs(&self.changes.added, false) {
            let set = self.place(set);
            transaction.add(Object::Elements { set, elements });
        }
        let freed = self.changes.freed.iter();
        for (map, entries) in self.by_map(freed.map(|(place, chain)| (*place, *chain))) {
            transaction.delete(Target::Entries { map, entries });
        }
        transaction
    }

    /// What nothing leads to any more, and the pairs of pods that are no more isolated.
    fn clean_up(&self) -> Transaction {
        let mut transaction = Transaction::new(self.table.clone());
        for (set, elements) in self.of_pairs(&self.changes.removed, true) {
            let set = self.place(set);
            transaction.delete(Target::Elements { set, elements });
        }
        let (old, new) = (&self.placement.view, self.desired);
        let chains = old
            .chains
            .keys()
            .filter(|name| !new.chains.contains_key(*name));
        let sets = old.sets.keys().filter(|name| !new.sets.contains_key(*name));
        let gone: BTreeSet<Name> = chains.chain(sets).map(|name| self.place(name)).collect();
        self.placement
            .remove(&mut transaction, |name| gone.contains(name));
        transaction
    }

    /// The last step after which packets meet the new ruleset makes its digest the one in force.
    fn write_digest(&self, transactions: &mut [(Option<MarkBits>, Transaction); 5]) {
        let (name, former) = &self.placement.digest;
        if former.elements == self.digest.elements {
            return;
        }
        let last = transactions[..4]
            .iter()
            .rposition(|(_, transaction)| !transaction.is_empty());
        let (_, transaction) = &mut transactions[last.unwrap_or(3)];
        if !former.elements.is_empty() {
            let elements = former.elements.clone();
            transaction.delete(Target::Elements {
                set: name.clone(),
                elements,
            });
        }
        let elements = self.digest.elements.clone();
        transaction.add(Object::Elements {
            set: name.clone(),
            elements,
        });
    }

    /// Makes a transaction that takes a permission away bring the next generation into force, and tells
    /// the marks to clear before.
    fn bump(
        &self,
        transaction: &mut Transaction,
        bump: &mut Option<Bump>,
        takes_away: bool,
    ) -> Option<MarkBits> {
        let Bump { bits, current } = bump.filter(|_| takes_away)?;
        let next = bits.next(current);
        *bump = Some(Bump {
            bits,
            current: next,
        });
        for (name, mut chain) in generation_chains(bits, next) {
            if name.as_str() == STAMP {
                comment(chain.rules.last_mut(), &stamp_comment(bits, next));
            }
            let name = self.place(&name);
            transaction.flush_chain(name.clone());
            add_rules(transaction, &name, chain);
        }
        bits.must_clear(current, next).then_some(bits)
    }

    fn place(&self, name: &Name) -> Name {
        self.placement.place(name)
    }

    fn of_pairs<'a>(
        &self,
        changes: &'a BTreeMap<&'a Name, BTreeSet<Element>>,
        wanted: bool,
    ) -> impl Iterator<Item = (&'a Name, BTreeSet<Element>)> {
        let changes = changes.iter();
        changes
            .filter(move |(set, _)| is_pairs(self.desired.sets[**set]) == wanted)
            .map(|(set, elements)| (*set, elements.clone()))
    }

    fn by_map<'a>(
        &self,
        entries: impl Iterator<Item = ((&'a Name, IpAddr), &'a Name)>,
    ) -> BTreeMap<Name, BTreeMap<IpAddr, Name>> {
        let mut by_map: BTreeMap<Name, BTreeMap<IpAddr, Name>> = BTreeMap::new();
        for ((map, address), chain) in entries {
            let entries = by_map.entry(self.place(map)).or_default();
            entries.insert(address, self.place(chain));
        }
        by_map
    }
}

impl Placement<'_> {
    /// The name in the kernel of an object that is there, or that this change makes.
    pub(crate) fn place(&self, name: &Name) -> Name {
        let there = self.names.get(name).cloned();
        there.unwrap_or_else(|| name.at(self.next))
    }

    /// Removes the objects whose names `goes` tells, and what a change that failed left behind.
    pub(crate) fn remove(&self, transaction: &mut Transaction, goes: impl Fn(&Name) -> bool) {
        let base = Name::fixed(BASE);
        let goes = |name: &&Name| **name != base && (goes(name) || self.leftovers.contains(*name));
        let of = |names: &[Name]| names.iter().filter(goes).cloned().collect::<Vec<_>>();
        let [chains, maps, sets] = [&self.chains, &self.maps, &self.sets].map(|names| of(names));
        remove(transaction, chains.iter(), maps.iter(), sets.iter());
    }
}
