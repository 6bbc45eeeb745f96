//! The transactions of a change in place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::changes::{Changes, Place, is_of_no_class};
use crate::creation::create;
use crate::delta::{Change, Delta, SetChange};
use crate::diff::{Bump, Planned, Step};
use crate::element::Element;
use crate::generation::MarkBits;
use crate::in_force::{digest_set, mark_comment};
use crate::layout::{generation_set, mark_chain};
use crate::load::{add_rules, comment, remove};
use crate::names::{GENERATION, Name, WRITE_MARK};
use crate::permissions::sets_of;
use crate::placement::{Edits, Placement, logical_name};
use crate::ruleset::{Ruleset, Set};
use crate::transaction::{Command, Object, Target, Transaction};

/// Writes the steps of a change that [`Changes::can_be_made_in_place`].
pub(crate) struct Increment<'a> {
    pub(crate) table: &'a Name,
    pub(crate) changes: &'a Changes<'a>,
}

impl Increment<'_> {
    pub(crate) fn steps(&self) -> Planned {
        let generation = self.old().index.generation;
        let mut bump = generation.map(|(bits, current)| Bump { bits, current });
        let bumped = bump;
        let mut take = self.take();
        let mut steps = Vec::new();
        let take_clears = self.bump(&mut take, &mut bump, || self.changes.takes_away_in_place());
        let mut moves = self.moves();
        let moves_clear = self.bump(&mut moves, &mut bump, || {
            self.changes.takes_away_by_moving()
        });
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
        let mut edits = self.edits();
        edits.generation = bump.map(|bump| (bump.bits, bump.current));
        Planned {
            steps,
            bumped: bump != bumped,
            edits: Some(edits),
        }
    }

    fn old(&self) -> Placement<'_> {
        self.changes.old
    }

    /// What nothing leads to yet, the pairs of pods with themselves, and link-local addresses that are closed.
    fn create(&self) -> Transaction {
        let mut made = Ruleset::new(self.table.clone());
        for (name, change) in &self.changes.delta.sets {
            match change {
                SetChange::Made(set) => {
                    made.sets.insert(self.place(name), set.clone());
                }
                SetChange::Changed { removed, added } if self.is_remade(name) => {
                    let former = self.old().set(name);
                    made.sets.extend(
                        former.map(|set| (self.place(name), replaced(set, removed, added))),
                    );
                }
                SetChange::Changed { .. } | SetChange::Gone(_) => {}
            }
        }
        for (name, change) in &self.changes.delta.chains {
            if let Some(chain) = &change.after {
                let chain = chain.rename(&|name| self.place(name));
                made.chains.insert(self.place(name), chain);
            }
        }
        let counters = self.changes.delta.new_counters().into_iter();
        made.counters = counters.cloned().collect();
        let mut transaction = Transaction::new(self.table.clone());
        if !made.sets.is_empty() || !made.chains.is_empty() || !made.counters.is_empty() {
            transaction = create(made);
        }
        for (set, elements) in self.of_no_class(&self.changes.added, true) {
            transaction.add(Object::Elements { set, elements });
        }
        transaction
    }

    /// Elements that go, and addresses that become isolated.
    fn take(&self) -> Transaction {
        let mut transaction = Transaction::new(self.table.clone());
        for (set, elements) in self.of_no_class(&self.changes.removed, false) {
            transaction.delete(Target::Elements { set, elements });
        }
        let isolated = self.changes.isolated.iter();
        let isolated = isolated.map(|(place, chain)| (*place, self.place(chain)));
        for (map, entries) in self.by_map(isolated) {
            transaction.add(Object::Entries { map, entries });
        }
        transaction
    }

    /// Addresses that come to another class, or to the chain made in place of theirs.
    fn moves(&self) -> Transaction {
        let mut transaction = Transaction::new(self.table.clone());
        let moved = || self.changes.moved.iter();
        let old = moved().map(|(place, (old, _))| (place, self.former(old)));
        for (map, entries) in self.by_map(old) {
            transaction.delete(Target::Entries { map, entries });
        }
        let new = moved().map(|(place, (_, new))| (place, self.place(new)));
        for (map, entries) in self.by_map(new) {
            transaction.add(Object::Entries { map, entries });
        }
        transaction
    }

    /// Elements that come, and addresses that are isolated no more.
    fn give(&self) -> Transaction {
        let mut transaction = Transaction::new(self.table.clone());
        for (set, elements) in self.of_no_class(&self.changes.added, false) {
            transaction.add(Object::Elements { set, elements });
        }
        let freed = self.changes.freed.iter();
        let freed = freed.map(|(place, chain)| (*place, self.former(chain)));
        for (map, entries) in self.by_map(freed) {
            transaction.delete(Target::Entries { map, entries });
        }
        transaction
    }

    /// What nothing leads to any more, the pairs of pods that are no more isolated, and link-local addresses that are open again.
    fn clean_up(&self) -> Transaction {
        let mut transaction = Transaction::new(self.table.clone());
        for (set, elements) in self.of_no_class(&self.changes.removed, true) {
            transaction.delete(Target::Elements { set, elements });
        }
        let delta = self.changes.delta;
        let chains = delta
            .chains
            .iter()
            .filter(|(_, change)| change.before.is_some());
        let chains = chains.map(|(name, _)| name);
        let sets = delta.sets.iter().filter_map(|(name, change)| match change {
            SetChange::Gone(_) => Some(name),
            SetChange::Made(_) => None,
            SetChange::Changed { .. } => self.is_remade(name).then_some(name),
        });
        let gone = chains.chain(sets).map(|name| self.former(name)).collect();
        self.old().remove(&mut transaction, gone, delta);
        transaction
    }

    /// The last step after which packets meet the new ruleset makes its digest the one in force.
    fn write_digest(&self, transactions: &mut [(Option<MarkBits>, Transaction); 5]) {
        let digest = self.changes.delta.to;
        if self.old().index.digest == Some(digest) {
            return;
        }
        let name = &self.old().index.digest_set;
        let last = transactions[..4]
            .iter()
            .rposition(|(_, transaction)| !transaction.is_empty());
        let (_, transaction) = &mut transactions[last.unwrap_or(3)];
        let former = self.old().contents.sets.get(name);
        if let Some(former) = former.filter(|set| !set.elements.is_empty()) {
            let elements = former.elements.clone();
            transaction.delete(Target::Elements {
                set: name.clone(),
                elements,
            });
        }
        let elements = digest_set(digest).elements;
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
        takes_away: impl FnOnce() -> bool,
    ) -> Option<MarkBits> {
        let Bump { bits, current } = (*bump)?;
        if !takes_away() {
            return None;
        }
        let next = bits.next(current);
        *bump = Some(Bump {
            bits,
            current: next,
        });
        let set = self.former(&Name::fixed(GENERATION));
        let elements = generation_set(bits, next).elements;
        transaction.commands.push(Command::FlushSet(set.clone()));
        transaction.add(Object::Elements { set, elements });
        let mut chain = mark_chain(bits, next);
        comment(chain.rules.last_mut(), &mark_comment(bits, next));
        let name = self.former(&Name::fixed(WRITE_MARK));
        transaction.flush_chain(name.clone());
        add_rules(transaction, &name, chain);
        bits.must_clear(current, next).then_some(bits)
    }

    /// How the index of the table follows the change.
    fn edits(&self) -> Edits {
        let mut edits = Edits::default();
        for (name, change) in &self.changes.delta.sets {
            match change {
                SetChange::Gone(_) => edits.gone.push(name.clone()),
                SetChange::Changed { .. } if !self.is_remade(name) => {}
                SetChange::Made(_) | SetChange::Changed { .. } => {
                    edits.placed.push((name.clone(), self.place(name)));
                }
            }
        }
        for (name, Change { before, after }) in &self.changes.delta.chains {
            let former = before.as_ref().and_then(|_| self.old().chain(name));
            let sets = former.into_iter().flat_map(sets_of).map(logical_name);
            edits.unlinked.extend(sets.map(|set| (set, name.clone())));
            match after {
                None => edits.gone.push(name.clone()),
                Some(chain) => {
                    edits.placed.push((name.clone(), self.place(name)));
                    let sets = sets_of(chain).cloned();
                    edits.linked.extend(sets.map(|set| (set, name.clone())));
                }
            }
        }
        edits
    }

    fn is_remade(&self, name: &Name) -> bool {
        self.changes.remade_sets.contains(name) || self.changes.remade_chains.contains(name)
    }

    /// The name in the kernel of an object as it is after the change.
    fn place(&self, name: &Name) -> Name {
        let stays = self.old().name(name).filter(|_| !self.is_remade(name));
        stays
            .cloned()
            .unwrap_or_else(|| name.at(self.old().index.next))
    }

    /// The name in the kernel of an object that is there.
    fn former(&self, name: &Name) -> Name {
        self.old().former(name)
    }

    fn of_no_class(
        &self,
        changes: &BTreeMap<&Name, &BTreeSet<Element>>,
        wanted: bool,
    ) -> impl Iterator<Item = (Name, BTreeSet<Element>)> {
        changes
            .iter()
            .filter(move |(set, elements)| is_of_no_class(set, elements) == wanted)
            .map(|(set, elements)| (self.former(set), (*elements).clone()))
    }

    fn by_map<'p>(
        &self,
        entries: impl Iterator<Item = (&'p Place, Name)>,
    ) -> BTreeMap<Name, BTreeMap<IpAddr, Name>> {
        let mut by_map: BTreeMap<Name, BTreeMap<IpAddr, Name>> = BTreeMap::new();
        for ((map, address), chain) in entries {
            let entries = by_map.entry(self.former(map)).or_default();
            entries.insert(*address, chain);
        }
        by_map
    }
}

/// A set with other elements.
pub(crate) fn replaced(set: &Set, removed: &BTreeSet<Element>, added: &BTreeSet<Element>) -> Set {
    let stay = set
        .elements
        .iter()
        .filter(|element| !removed.contains(element));
    Set {
        elements: stay.chain(added).copied().collect(),
        ..Set::new(set.key, set.interval)
    }
}

impl Placement<'_> {
    /// The name in the kernel of an object that is there. One that is not is named as if it were made: no command about
    /// it is ever written.
    pub(crate) fn former(&self, name: &Name) -> Name {
        let there = self.name(name).cloned();
        there.unwrap_or_else(|| name.at(self.index.next))
    }

    /// Removes these objects, by their names in the kernel, the counters that go, and what a change that failed left
    /// behind. Counters have no epoch, so one that was left behind can be in use again.
    pub(crate) fn remove(
        &self,
        transaction: &mut Transaction,
        mut gone: BTreeSet<Name>,
        delta: &Delta,
    ) {
        let made = delta.new_counters();
        let left = self.index.leftovers.iter();
        let left =
            left.filter(|name| self.contents.counters.contains(*name) && !made.contains(*name));
        let counters: BTreeSet<Name> = left.chain(delta.gone_counters()).cloned().collect();
        gone.extend(self.index.leftovers.iter().cloned());
        let chains = gone
            .iter()
            .filter(|name| self.contents.chains.contains_key(*name));
        let maps = gone
            .iter()
            .filter(|name| self.contents.maps.contains_key(*name));
        let sets = gone
            .iter()
            .filter(|name| self.contents.sets.contains_key(*name));
        remove(transaction, chains, maps, sets);
        for counter in counters {
            transaction.delete(Target::Counter(counter));
        }
    }
}
