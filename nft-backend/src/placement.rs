//! Which objects of the table in force are which of a ruleset's: their names without epochs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::class_counters::{is_of_class, used_by};
use crate::digest::Digest;
use crate::generation::{Generation, MarkBits};
use crate::in_force::{digest_of, read_base_comment, read_mark_comment};
use crate::names::{BASE, DIGEST, Epoch, Name, WRITE_MARK};
use crate::permissions::sets_of;
use crate::ruleset::{Chain, Ruleset, Set};
use crate::statement::Statement;

/// What is known of a table in force beside its contents. It is read once and then follows each change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    /// The name in the kernel of each object that packets meet, by its name without epoch.
    pub(crate) names: BTreeMap<Name, Name>,
    /// An epoch that no object carries.
    pub(crate) next: Epoch,
    /// The generation that is stamped, if there are marks.
    pub(crate) generation: Option<(MarkBits, Generation)>,
    /// The set with the digest, by its name in the kernel.
    pub(crate) digest_set: Name,
    /// The digest that is in it.
    pub(crate) digest: Option<Digest>,
    /// What no packet meets, left behind by a change that failed half-way; by names in the kernel.
    pub(crate) leftovers: BTreeSet<Name>,
    /// Whether packets meet two objects that differ by their epoch alone: a change that makes classes anew failed
    /// half-way. Then only a switch puts things right.
    pub(crate) is_torn: bool,
    /// The chains that look packets up in each set, by names without epochs.
    pub(crate) users: BTreeMap<Name, BTreeSet<Name>>,
}

/// How an index changes with a change in place.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    /// Objects that are there no more.
    pub(crate) gone: Vec<Name>,
    /// Objects that are new, or have a new name in the kernel.
    pub(crate) placed: Vec<(Name, Name)>,
    /// Sets that chains do not look packets up in any more.
    pub(crate) unlinked: Vec<(Name, Name)>,
    /// Sets that chains look packets up in now.
    pub(crate) linked: Vec<(Name, Name)>,
    /// The generation that is stamped now.
    pub(crate) generation: Option<(MarkBits, Generation)>,
}

/// The table in force, read.
#[derive(Clone, Copy)]
pub(crate) struct Placement<'a> {
    /// The table under the names that its objects have in the kernel.
    pub(crate) contents: &'a Ruleset,
    pub(crate) index: &'a Index,
}

impl Index {
    /// Reads a table that a load or an increment left; `None` when it is not such a table.
    pub(crate) fn of(in_force: &Ruleset) -> Option<Self> {
        let base = in_force.chains.get(&Name::fixed(BASE))?;
        let epoch = read_base_comment(base.rules.first()?.comment.as_deref()?)?;
        let marking = in_force.chains.get(&Name::fixed(WRITE_MARK).at(epoch));
        let comment = marking.and_then(|chain| chain.rules.last()?.comment.as_deref());
        let digest_set = Name::fixed(DIGEST).at(epoch);
        let digest = in_force.sets.get(&digest_set)?.elements.first();
        let reached = reached(in_force);
        let mut index = Self {
            names: BTreeMap::from([(Name::fixed(BASE), Name::fixed(BASE))]),
            next: epoch,
            generation: comment.and_then(read_mark_comment),
            digest: digest.and_then(digest_of),
            digest_set,
            leftovers: BTreeSet::new(),
            is_torn: false,
            users: BTreeMap::new(),
        };
        for name in all_names(in_force).filter(|name| name.as_str() != BASE) {
            let split = name.split_epoch();
            index.next = index
                .next
                .max(split.as_ref().map_or(epoch, |(_, epoch)| *epoch));
            match split {
                _ if *name == index.digest_set => {}
                Some((logical, _)) if reached.contains(name) => {
                    let other = index.names.insert(logical, name.clone());
                    index.is_torn |= other.is_some();
                }
                _ => {
                    index.leftovers.insert(name.clone());
                }
            }
        }
        let used: BTreeSet<&Name> = in_force
            .chains
            .iter()
            .filter(|(name, _)| reached.contains(*name))
            .flat_map(|(_, chain)| used_by(chain))
            .collect();
        let counters = in_force.counters.iter();
        let unused = counters.filter(|name| is_of_class(name) && !used.contains(name));
        index.leftovers.extend(unused.cloned());
        index.next = index.next.next();
        for (logical, name) in &index.names {
            let sets = in_force.chains.get(name).into_iter().flat_map(sets_of);
            for set in sets {
                let users = index.users.entry(logical_name(set)).or_default();
                users.insert(logical.clone());
            }
        }
        Some(index)
    }

    /// Whether reading the table anew would give the same, but for an epoch that is newer than need be.
    pub(crate) fn is_of(&self, in_force: &Ruleset) -> bool {
        let anew = Self::of(in_force);
        anew.is_some_and(|anew| {
            let next = self.next.max(anew.next);
            next == self.next && Self { next, ..anew } == *self
        })
    }

    /// Follows a change in place that leaves this digest.
    pub(crate) fn follow(&mut self, edits: Edits, digest: Digest) {
        for name in &edits.gone {
            self.names.remove(name);
        }
        if !edits.placed.is_empty() {
            self.next = self.next.next();
        }
        self.names.extend(edits.placed);
        for (set, chain) in &edits.unlinked {
            if let Some(users) = self.users.get_mut(set) {
                users.remove(chain);
                if users.is_empty() {
                    self.users.remove(set);
                }
            }
        }
        for (set, chain) in edits.linked {
            self.users.entry(set).or_default().insert(chain);
        }
        self.generation = edits.generation;
        self.digest = Some(digest);
        self.leftovers.clear();
    }
}

impl<'a> Placement<'a> {
    /// The name of an object in the kernel.
    pub(crate) fn name(&self, name: &Name) -> Option<&'a Name> {
        self.index.names.get(name)
    }

    /// A set, by its name without epoch.
    pub(crate) fn set(&self, name: &Name) -> Option<&'a Set> {
        self.contents.sets.get(self.name(name)?)
    }

    /// A chain, by its name without epoch; its rules have the names of the kernel.
    pub(crate) fn chain(&self, name: &Name) -> Option<&'a Chain> {
        self.contents.chains.get(self.name(name)?)
    }

    /// A chain whose rules have no epochs.
    pub(crate) fn logical_chain(&self, name: &Name) -> Option<Chain> {
        Some(self.chain(name)?.rename(&logical_name))
    }

    /// The entries of a map, by its name without epoch; chains have no epochs either.
    pub(crate) fn entries(&self, map: &Name) -> impl Iterator<Item = (IpAddr, Name)> + use<'a> {
        let map = self.name(map).and_then(|name| self.contents.maps.get(name));
        let entries = map.into_iter().flat_map(|map| &map.entries);
        entries.map(|(address, chain)| (*address, logical_name(chain)))
    }

    /// Whether a map leads an address anywhere.
    pub(crate) fn leads(&self, map: &Name, address: IpAddr) -> bool {
        let map = self.name(map).and_then(|name| self.contents.maps.get(name));
        map.is_some_and(|map| map.entries.contains_key(&address))
    }

    /// The names without epochs of the sets, the maps or the chains that packets meet.
    pub(crate) fn logical<'o, T>(
        &self,
        objects: &'o BTreeMap<Name, T>,
    ) -> impl Iterator<Item = (&'a Name, &'o T)> {
        let names = self.index.names.iter();
        names.filter_map(|(logical, name)| Some((logical, objects.get(name)?)))
    }
}

/// The name without its epoch.
pub(crate) fn logical_name(name: &Name) -> Name {
    name.split_epoch()
        .map_or_else(|| name.clone(), |(logical, _)| logical)
}

fn all_names(ruleset: &Ruleset) -> impl Iterator<Item = &Name> {
    let sets_and_maps = ruleset.sets.keys().chain(ruleset.maps.keys());
    sets_and_maps.chain(ruleset.chains.keys())
}

/// The objects that packets can meet.
fn reached(ruleset: &Ruleset) -> BTreeSet<Name> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![Name::fixed(BASE)];
    while let Some(chain) = waiting.pop() {
        let Some(contents) = ruleset.chains.get(&chain) else {
            continue;
        };
        if !reached.insert(chain) {
            continue;
        }
        reached.extend(sets_of(contents).cloned());
        for statement in contents.rules.iter().flat_map(|rule| &rule.statements) {
            match statement {
                Statement::Jump(chain) | Statement::Goto(chain) => waiting.push(chain.clone()),
                Statement::Vmap { map, .. } => {
                    let entries = ruleset.maps.get(map).map(|map| map.entries.values());
                    waiting.extend(entries.into_iter().flatten().cloned());
                    reached.insert(map.clone());
                }
                _ => {}
            }
        }
    }
    reached
}
