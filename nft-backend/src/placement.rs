//! Which objects of the table in force are which of a ruleset's: their names without epochs.

use std::collections::{BTreeMap, BTreeSet};

use crate::generation::{Generation, MarkBits};
use crate::in_force::{read_base_comment, read_stamp_comment};
use crate::names::{BASE, DIGEST, Epoch, Name, STAMP};
use crate::permissions::sets_of;
use crate::ruleset::{Chain, Ruleset, Set, VerdictMap};
use crate::statement::Statement;

/// The objects of a ruleset, under names without epochs. Sets are large, so they are borrowed.
pub(crate) struct View<'a> {
    pub(crate) sets: BTreeMap<Name, &'a Set>,
    pub(crate) maps: BTreeMap<Name, VerdictMap>,
    pub(crate) chains: BTreeMap<Name, Chain>,
}

impl<'a> View<'a> {
    /// The view of a ruleset that has no epochs.
    pub(crate) fn of(ruleset: &'a Ruleset) -> Self {
        Self {
            sets: ruleset
                .sets
                .iter()
                .map(|(name, set)| (name.clone(), set))
                .collect(),
            maps: ruleset.maps.clone(),
            chains: ruleset.chains.clone(),
        }
    }
}

/// The table in force, read.
pub(crate) struct Placement<'a> {
    /// What packets meet.
    pub(crate) view: View<'a>,
    /// The name in the kernel of each object in the view.
    pub(crate) names: BTreeMap<Name, Name>,
    /// An epoch that no object carries.
    pub(crate) next: Epoch,
    /// The generation that is stamped, if there are marks.
    pub(crate) generation: Option<(MarkBits, Generation)>,
    /// The set with the digest, by its name in the kernel.
    pub(crate) digest: (Name, &'a Set),
    /// The names in the kernel of all chains.
    pub(crate) chains: Vec<Name>,
    /// Those of all maps.
    pub(crate) maps: Vec<Name>,
    /// Those of all sets.
    pub(crate) sets: Vec<Name>,
    /// What no packet meets, left behind by a change that failed half-way.
    pub(crate) leftovers: BTreeSet<Name>,
}

impl<'a> Placement<'a> {
    /// Reads a table that a load or an increment left; `None` when it is not such a table.
    pub(crate) fn of(in_force: &'a Ruleset) -> Option<Self> {
        let base = in_force.chains.get(&Name::fixed(BASE))?;
        let epoch = read_base_comment(base.rules.first()?.comment.as_deref()?)?;
        let stamp = in_force.chains.get(&Name::fixed(STAMP).at(epoch));
        let comment = stamp.and_then(|stamp| stamp.rules.last()?.comment.as_deref());
        let digest = Name::fixed(DIGEST).at(epoch);
        let mut reached = reached(in_force);
        reached.insert(digest.clone());
        let mut names: BTreeMap<Name, Name> = BTreeMap::new();
        let mut leftovers = BTreeSet::new();
        let mut newest = epoch;
        for name in all_names(in_force).filter(|name| name.as_str() != BASE) {
            let split = name.split_epoch();
            newest = newest.max(split.as_ref().map_or(epoch, |(_, epoch)| *epoch));
            match split {
                Some((logical, _)) if reached.contains(name) => {
                    names.insert(logical, name.clone());
                }
                _ => {
                    leftovers.insert(name.clone());
                }
            }
        }
        names.insert(Name::fixed(BASE), Name::fixed(BASE));
        let logical: BTreeMap<&Name, &Name> = names
            .iter()
            .map(|(logical, name)| (name, logical))
            .collect();
        let rename = |name: &Name| logical.get(name).map_or(name, |name| name).clone();
        let sets = in_force.sets.iter().filter(|(name, _)| **name != digest);
        let view = View {
            sets: known(&logical, sets).collect(),
            maps: known(&logical, &in_force.maps)
                .map(|(name, map)| (name, map.rename(&rename)))
                .collect(),
            chains: known(&logical, &in_force.chains)
                .map(|(name, chain)| (name, chain.rename(&rename)))
                .collect(),
        };
        let digest_set = in_force.sets.get(&digest)?;
        Some(Self {
            view,
            names,
            next: newest.next(),
            generation: comment.and_then(read_stamp_comment),
            digest: (digest, digest_set),
            chains: in_force.chains.keys().cloned().collect(),
            maps: in_force.maps.keys().cloned().collect(),
            sets: in_force.sets.keys().cloned().collect(),
            leftovers,
        })
    }
}

fn known<'t, 'n, T: 't>(
    logical: &'n BTreeMap<&Name, &'n Name>,
    objects: impl IntoIterator<Item = (&'t Name, &'t T)>,
) -> impl Iterator<Item = (Name, &'t T)> {
    objects
        .into_iter()
        .filter_map(|(name, object)| Some(((*logical.get(name)?).clone(), object)))
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
