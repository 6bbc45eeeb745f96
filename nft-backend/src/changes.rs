//! What differs between what is in force and what should be, and whether it can be changed in place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::class_chain::Direction;
use crate::element::{Element, Key};
use crate::layout::direction_of;
use crate::names::Name;
use crate::permissions::{Permissions, sets_of};
use crate::placement::View;
use crate::ruleset::{Chain, Set};
use crate::statement::Statement;
use crate::value::Family;

/// More pairs of a removed and an added element are not compared; such a change is a switch.
const MOST_PAIRS: usize = 1_000_000;

/// An address in a dispatch map.
type Place<'a> = (&'a Name, IpAddr);

/// The differences from `old` to `new`, by names without epochs.
pub(crate) struct Changes<'a> {
    old: &'a View<'a>,
    new: &'a View<'a>,
    /// Elements that a set loses. Sets are in here that are in both, and of one type.
    pub(crate) removed: BTreeMap<&'a Name, BTreeSet<Element>>,
    /// Elements that a set gains.
    pub(crate) added: BTreeMap<&'a Name, BTreeSet<Element>>,
    /// Entries that isolate an address.
    pub(crate) isolated: BTreeMap<Place<'a>, &'a Name>,
    /// Entries of addresses that are isolated no more.
    pub(crate) freed: BTreeMap<Place<'a>, &'a Name>,
    /// Entries that come to lead to another chain.
    pub(crate) moved: BTreeMap<Place<'a>, (&'a Name, &'a Name)>,
}

impl<'a> Changes<'a> {
    pub(crate) fn between(old: &'a View<'a>, new: &'a View<'a>) -> Self {
        let mut changes = Self {
            old,
            new,
            removed: BTreeMap::new(),
            added: BTreeMap::new(),
            isolated: BTreeMap::new(),
            freed: BTreeMap::new(),
            moved: BTreeMap::new(),
        };
        for (name, set) in &new.sets {
            let Some(former) = old.sets.get(name).filter(|former| is_alike(former, set)) else {
                continue;
            };
            let less = |a: &Set, b: &Set| a.elements.difference(&b.elements).copied().collect();
            let (removed, added): (BTreeSet<_>, BTreeSet<_>) =
                (less(former, set), less(set, former));
            if !removed.is_empty() {
                changes.removed.insert(name, removed);
            }
            if !added.is_empty() {
                changes.added.insert(name, added);
            }
        }
        let (before, after) = (entries(old), entries(new));
        for (place, chain) in &after {
            match before.get(place) {
                None => {
                    changes.isolated.insert(*place, chain);
                }
                Some(former) if former != chain => {
                    changes.moved.insert(*place, (former, chain));
                }
                Some(_) => {}
            }
        }
        let freed = before
            .into_iter()
            .filter(|(place, _)| !after.contains_key(place));
        changes.freed = freed.collect();
        changes
    }

    /// Whether a set of this name stays, with other elements or with the same.
    pub(crate) fn keeps_set(&self, name: &Name) -> bool {
        match (self.old.sets.get(name), self.new.sets.get(name)) {
            (Some(old), Some(new)) => is_alike(old, new),
            _ => false,
        }
    }

    /// Whether a set stays as it is.
    pub(crate) fn keeps_elements(&self, name: &Name) -> bool {
        self.keeps_set(name) && !self.removed.contains_key(name) && !self.added.contains_key(name)
    }

    /// Whether entries that isolate, or sets that lose elements, take a permission away.
    pub(crate) fn takes_away_in_place(&self) -> bool {
        let stay = self.old.chains.keys().filter(|chain| {
            let contents = &self.old.chains[*chain];
            self.new.chains.contains_key(*chain)
                && sets_of(contents).any(|set| self.removed.contains_key(set))
        });
        stay.into_iter()
            .any(|chain| self.takes_away(Some(chain), Some(chain)))
            || distinct(self.isolated.values().copied())
                .any(|chain| self.takes_away(None, Some(chain)))
    }

    /// Whether entries that move take a permission away.
    pub(crate) fn takes_away_by_moving(&self) -> bool {
        distinct(self.moved.values().copied())
            .any(|(old, new)| self.takes_away(Some(old), Some(new)))
    }

    /// Whether any permission is taken away, in whatever way.
    pub(crate) fn takes_away_any(&self) -> bool {
        let changed = self.old.chains.keys().filter(|chain| {
            self.new.chains.contains_key(*chain) && !self.keeps_chain_and_sets(chain)
        });
        self.takes_away_in_place()
            || self.takes_away_by_moving()
            || changed
                .into_iter()
                .any(|chain| self.is_class(chain) && self.takes_away(Some(chain), Some(chain)))
            || !self.self_sets_are_neutral()
    }

    /// Whether each step of an increment leaves every packet to the old or to the new ruleset. The
    /// argument is in [`diff`](mod@crate::diff).
    pub(crate) fn can_be_made_in_place(&self) -> bool {
        self.structure_stays()
            && self.self_sets_are_neutral()
            && self.no_interval_set_loses()
            && self.chains().all(|chain| self.forms_stay(chain))
            && self.arrivals_meet_what_they_should()
            && self.departures_leave_what_they_may()
            && self.moves_are_seen_once()
    }

    /// Chains that are in both keep their rules, and maps are the same.
    fn structure_stays(&self) -> bool {
        let same_rules = |name: &Name, chain: &Chain| {
            self.new
                .chains
                .get(name)
                .is_none_or(|other| has_same_rules(chain, other))
        };
        self.old
            .chains
            .iter()
            .all(|(name, chain)| same_rules(name, chain))
            && self.old.maps.keys().eq(self.new.maps.keys())
            && self
                .old
                .maps
                .iter()
                .all(|(name, map)| map.family == self.new.maps[name].family)
            && self
                .old
                .sets
                .keys()
                .all(|name| !self.new.sets.contains_key(name) || self.keeps_set(name))
    }

    /// A pod reaches itself whether it is isolated or not, so its pair may come before its entries do
    /// and go after they went; not while they are there.
    fn self_sets_are_neutral(&self) -> bool {
        let neutral = |changes: &BTreeMap<&Name, BTreeSet<Element>>, view: &View<'_>| {
            let pairs = changes
                .iter()
                .filter(|(name, _)| is_pairs(self.new.sets[**name]));
            pairs
                .flat_map(|(_, elements)| elements)
                .all(|element| match element {
                    Element::Pair(address, _) => view
                        .maps
                        .values()
                        .all(|map| !map.entries.contains_key(address)),
                    _ => false,
                })
        };
        neutral(&self.added, self.old) && neutral(&self.removed, self.new)
    }

    /// Interval sets take removals slowly, and not at the same moment as hashes and rules.
    fn no_interval_set_loses(&self) -> bool {
        self.removed
            .keys()
            .all(|name| !self.new.sets[*name].interval)
    }

    /// No element comes in another form: what is removed and what is added have no packet in common.
    fn forms_stay(&self, chain: &Name) -> bool {
        let sets = || self.new.chains.get(chain).into_iter().flat_map(sets_of);
        let removed: Vec<_> = sets()
            .filter_map(|set| self.removed.get(set))
            .flatten()
            .collect();
        let added: Vec<_> = sets()
            .filter_map(|set| self.added.get(set))
            .flatten()
            .collect();
        removed.len().saturating_mul(added.len()) <= MOST_PAIRS
            && removed
                .iter()
                .all(|old| added.iter().all(|new| !old.touches(new)))
    }

    /// A chain that an address comes to may lack, for a moment, only what is about this address.
    fn arrivals_meet_what_they_should(&self) -> bool {
        let moved = self
            .moved
            .iter()
            .map(|((_, address), (_, chain))| (*address, *chain));
        let isolated = self
            .isolated
            .iter()
            .map(|((_, address), chain)| (*address, *chain));
        about_themselves(moved.chain(isolated), self.new, &self.added)
    }

    /// A chain that an address leaves may lose early only what is about this address.
    fn departures_leave_what_they_may(&self) -> bool {
        let moved = self
            .moved
            .iter()
            .map(|((_, address), (chain, _))| (*address, *chain));
        let freed = self
            .freed
            .iter()
            .map(|((_, address), chain)| (*address, *chain));
        about_themselves(moved.chain(freed), self.old, &self.removed)
    }

    /// No packet that is on its way meets one entry before its move and another one after it, unless
    /// all of them give, or all of them take.
    fn moves_are_seen_once(&self) -> bool {
        let directions: BTreeSet<Option<Direction>> = self
            .moved
            .keys()
            .map(|(map, _)| direction_of(map))
            .collect();
        let addresses = self.moved.keys().map(|(_, address)| *address).collect();
        let moves: BTreeSet<_> = self.moved.values().copied().collect();
        (directions.len() <= 1 && !directions.contains(&None))
            || is_one_in_each_family(&addresses)
            || !moves
                .iter()
                .any(|(old, new)| self.takes_away(Some(old), Some(new)))
            || !moves.iter().any(|(old, new)| self.gives(old, new))
    }

    fn takes_away(&self, old: Option<&Name>, new: Option<&Name>) -> bool {
        !Permissions::of(self.new, new).covers(&Permissions::of(self.old, old))
    }

    fn gives(&self, old: &Name, new: &Name) -> bool {
        let (old, new) = (
            Permissions::of(self.old, Some(old)),
            Permissions::of(self.new, Some(new)),
        );
        !old.covers(&new)
    }

    fn keeps_chain_and_sets(&self, chain: &Name) -> bool {
        let (old, new) = (&self.old.chains[chain], &self.new.chains[chain]);
        has_same_rules(old, new) && sets_of(new).all(|set| self.keeps_elements(set))
    }

    /// Whether the chain is one that entries lead to.
    fn is_class(&self, chain: &Name) -> bool {
        let mut maps = self.old.maps.values().chain(self.new.maps.values());
        maps.any(|map| map.entries.values().any(|target| target == chain))
    }

    fn chains(&self) -> impl Iterator<Item = &'a Name> {
        self.new.chains.keys()
    }
}

/// Whether the elements that change in the sets of each chain are about the addresses alone that come
/// to it or leave it, at most one of each family: only packets from such an address to itself would
/// notice, and these meet no class.
fn about_themselves<'a>(
    pods: impl Iterator<Item = (IpAddr, &'a Name)>,
    view: &View<'_>,
    changed: &BTreeMap<&Name, BTreeSet<Element>>,
) -> bool {
    let mut by_chain: BTreeMap<&Name, BTreeSet<IpAddr>> = BTreeMap::new();
    for (address, chain) in pods {
        by_chain.entry(chain).or_default().insert(address);
    }
    by_chain.iter().all(|(chain, addresses)| {
        let sets = view.chains.get(*chain).into_iter().flat_map(sets_of);
        let mut elements = sets.filter_map(|set| changed.get(set)).flatten().peekable();
        elements.peek().is_none()
            || (is_one_in_each_family(addresses)
                && elements
                    .all(|element| element.peer().is_some_and(|peer| addresses.contains(&peer))))
    })
}

fn is_one_in_each_family(addresses: &BTreeSet<IpAddr>) -> bool {
    let families: BTreeSet<Family> = addresses.iter().copied().map(Family::of).collect();
    families.len() == addresses.len()
}

fn entries<'a>(view: &'a View<'a>) -> BTreeMap<Place<'a>, &'a Name> {
    let maps = view.maps.iter();
    maps.flat_map(|(map, contents)| {
        let entries = contents.entries.iter();
        entries.map(move |(address, chain)| ((map, *address), chain))
    })
    .collect()
}

fn distinct<T: Ord>(items: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    items.collect::<BTreeSet<T>>().into_iter()
}

fn has_same_rules(one: &Chain, other: &Chain) -> bool {
    fn statements(chain: &Chain) -> impl Iterator<Item = &Vec<Statement>> {
        chain.rules.iter().map(|rule| &rule.statements)
    }
    statements(one).eq(statements(other))
}

fn is_alike(one: &Set, other: &Set) -> bool {
    one.key == other.key && one.interval == other.interval
}

/// Whether the set holds the pairs of pods with themselves.
pub(crate) fn is_pairs(set: &Set) -> bool {
    matches!(set.key, Key::Pair(_))
}
