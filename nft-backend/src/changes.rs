//! A change of the table in force, and whether it can be made in place.
//!
//! What does not change is not looked at: what a chain allowed and will allow, or where an address is led, is looked up
//! in the table as it is and in the delta.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::class_chain::Direction;
use crate::counted_rules::is_counting;
use crate::delta::{Change, Delta, SetChange};
use crate::element::Element;
use crate::layout::direction_of;
use crate::names::{LINK_LOCAL, Name, is_structural};
use crate::permissions::{Permissions, SetState, sets_of};
use crate::placement::{Placement, logical_name};
use crate::ruleset::Chain;
use crate::value::Family;

/// More pairs of a removed and an added element are not compared; such a change is a switch.
const MOST_PAIRS: usize = 1_000_000;

/// An interval set that loses more elements is made anew: removing one costs a walk through the set, as a share of making
/// it anew does.
const MOST_INTERVALS_REMOVED: usize = 16;

/// An address in a dispatch map.
pub(crate) type Place = (Name, IpAddr);

/// Elements by set.
type BySet<'a> = BTreeMap<&'a Name, &'a BTreeSet<Element>>;

/// A change, by names without epochs.
pub(crate) struct Changes<'a> {
    pub(crate) old: Placement<'a>,
    pub(crate) delta: &'a Delta,
    /// Class chains that get other rules: they are made anew beside the old ones, and entries are moved.
    pub(crate) remade_chains: BTreeSet<&'a Name>,
    /// Sets that change and that only chains look at which are made anew: they are made anew too.
    pub(crate) remade_sets: BTreeSet<&'a Name>,
    /// Elements that sets lose in place.
    pub(crate) removed: BySet<'a>,
    /// Elements that sets gain in place.
    pub(crate) added: BySet<'a>,
    /// Entries that isolate an address.
    pub(crate) isolated: BTreeMap<&'a Place, &'a Name>,
    /// Entries of addresses that are isolated no more.
    pub(crate) freed: BTreeMap<&'a Place, &'a Name>,
    /// Entries that come to lead to another chain, or to the one that is made in place of theirs.
    pub(crate) moved: BTreeMap<Place, (Name, Name)>,
}

impl<'a> Changes<'a> {
    pub(crate) fn new(old: Placement<'a>, delta: &'a Delta) -> Self {
        let mut changes = Self {
            old,
            delta,
            remade_chains: BTreeSet::new(),
            remade_sets: BTreeSet::new(),
            removed: BTreeMap::new(),
            added: BTreeMap::new(),
            isolated: BTreeMap::new(),
            freed: BTreeMap::new(),
            moved: BTreeMap::new(),
        };
        for (name, change) in &delta.chains {
            let stays = change.before.is_some() && change.after.is_some();
            if stays && !is_structural(name) {
                changes.remade_chains.insert(name);
            }
        }
        for (name, change) in &delta.sets {
            let SetChange::Changed { removed, added } = change else {
                continue;
            };
            if changes.is_remade_with_its_users(name) {
                changes.remade_sets.insert(name);
                continue;
            }
            changes
                .removed
                .extend((!removed.is_empty()).then_some((name, removed)));
            changes
                .added
                .extend((!added.is_empty()).then_some((name, added)));
        }
        changes.sort_entries();
        changes
    }

    fn is_remade_with_its_users(&self, set: &Name) -> bool {
        if self.delta.chains.is_empty() {
            return false;
        }
        let users = self.old.index.users.get(set);
        users.is_some_and(|users| {
            let mut users = users.iter().filter(|chain| !self.goes(chain));
            users.all(|chain| self.remade_chains.contains(chain))
        })
    }

    fn sort_entries(&mut self) {
        for (place, change) in &self.delta.entries {
            match (&change.before, &change.after) {
                (None, Some(chain)) => {
                    self.isolated.insert(place, chain);
                }
                (Some(chain), None) => {
                    self.freed.insert(place, chain);
                }
                (Some(before), Some(after)) => {
                    let chains = (before.clone(), after.clone());
                    self.moved.insert(place.clone(), chains);
                }
                (None, None) => {}
            }
        }
        if self.remade_chains.is_empty() {
            return;
        }
        for (map, _) in self.old.logical(&self.old.contents.maps) {
            for (address, chain) in self.old.entries(map) {
                let place = (map.clone(), address);
                if self.remade_chains.contains(&chain) && !self.delta.entries.contains_key(&place) {
                    self.moved.insert(place, (chain.clone(), chain));
                }
            }
        }
    }

    /// Whether a chain goes for good.
    fn goes(&self, chain: &Name) -> bool {
        let change = self.delta.chains.get(chain);
        change.is_some_and(|change| change.after.is_none())
    }

    /// A chain as it will be, without epochs.
    fn chain_after(&self, name: &Name) -> Option<Chain> {
        match self.delta.chains.get(name) {
            Some(change) => change.after.clone(),
            None => self.old.logical_chain(name),
        }
    }

    fn set_after(&self, name: &Name) -> Option<SetState<'a>> {
        match self.delta.sets.get(name) {
            Some(SetChange::Made(set)) => Some(SetState::plain(set)),
            Some(SetChange::Gone(_)) => None,
            Some(SetChange::Changed { removed, added }) => Some(SetState {
                removed: Some(removed),
                added: Some(added),
                ..SetState::plain(self.old.set(name)?)
            }),
            None => self.old.set(name).map(SetState::plain),
        }
    }

    fn permissions_before(&self, chain: &Name) -> Permissions<'a> {
        let chain = self.old.chain(chain);
        let set = |name: &Name| self.old.contents.sets.get(name).map(SetState::plain);
        chain.map_or_else(Permissions::default, |chain| Permissions::of(chain, set))
    }

    fn permissions_after(&self, chain: &Name) -> Permissions<'a> {
        let permissions = if let Some(change) = self.delta.chains.get(chain) {
            let after = change.after.as_ref();
            after.map(|chain| Permissions::of(chain, |name| self.set_after(name)))
        } else {
            let stays = self.old.chain(chain);
            let set = |name: &Name| self.set_after(&logical_name(name));
            stays.map(|chain| Permissions::of(chain, set))
        };
        permissions.unwrap_or_default()
    }

    /// Whether entries that isolate, sets that lose elements, or link-local addresses that are closed take a permission away.
    pub(crate) fn takes_away_in_place(&self) -> bool {
        if self.added.keys().any(|set| set.as_str() == LINK_LOCAL) {
            return true;
        }
        let chains = self.users(decisive(&self.removed).map(|(set, _)| set));
        chains.into_iter().any(|chain| {
            is_narrower(
                &self.permissions_before(chain),
                &self.permissions_after(chain),
            )
        }) || distinct(self.isolated.values().copied())
            .any(|chain| is_narrower(&Permissions::everything(), &self.permissions_after(chain)))
    }

    /// Whether entries that move take a permission away.
    pub(crate) fn takes_away_by_moving(&self) -> bool {
        distinct(self.moved.values()).any(|(old, new)| {
            is_narrower(&self.permissions_before(old), &self.permissions_after(new))
        })
    }

    /// Whether any permission is taken away, in whatever way.
    pub(crate) fn takes_away_any(&self) -> bool {
        self.old.index.is_torn
            || self.takes_away_in_place()
            || self.takes_away_by_moving()
            || !self.self_sets_are_neutral()
    }

    /// Whether each step of an increment leaves every packet to the old or to the new ruleset. The
    /// argument is in [`diff`](mod@crate::diff).
    pub(crate) fn can_be_made_in_place(&self) -> bool {
        self.structure_stays()
            && self.self_sets_are_neutral()
            && self.interval_sets_lose_few()
            && self.forms_stay()
            && self.arrivals_meet_what_they_should()
            && self.departures_leave_what_they_may()
            && self.moves_are_seen_once()
    }

    /// Only class chains change, and no set is replaced by one of another type.
    fn structure_stays(&self) -> bool {
        let chains = self.delta.chains.keys();
        let is_replaced = |(name, change): (&Name, &SetChange)| {
            matches!(change, SetChange::Made(_)) && self.old.set(name).is_some()
        };
        !self.old.index.is_torn
            && chains.into_iter().all(|chain| !is_structural(chain))
            && !self.delta.sets.iter().any(is_replaced)
    }

    /// A pod reaches itself whether it is isolated or not, so its pair may come before its entries do
    /// and go after they went; not while they are there.
    fn self_sets_are_neutral(&self) -> bool {
        let neutral = |changes: &BySet<'_>, leads: &dyn Fn(&Name, IpAddr) -> bool| {
            let mut elements = changes.values().flat_map(|elements| elements.iter());
            elements.all(|element| match element {
                Element::Pair(address, _) => {
                    let mut maps = self.old.contents.maps.keys().map(logical_name);
                    maps.all(|map| !leads(&map, *address))
                }
                _ => true,
            })
        };
        let before = |map: &Name, address| self.old.leads(map, address);
        let after = |map: &Name, address| match self.delta.entries.get(&(map.clone(), address)) {
            Some(Change { after, .. }) => after.is_some(),
            None => self.old.leads(map, address),
        };
        neutral(&self.added, &before) && neutral(&self.removed, &after)
    }

    /// Interval sets take removals as exactly as hashes do, each at a cost that follows the whole set.
    fn interval_sets_lose_few(&self) -> bool {
        let mut sets = decisive(&self.removed);
        sets.all(|(name, _)| !self.loses_many_intervals(name))
    }

    fn loses_many_intervals(&self, set: &Name) -> bool {
        let removed = self.removed.get(set);
        let is_interval = || self.old.set(set).is_some_and(|set| set.interval);
        removed.is_some_and(|removed| removed.len() > MOST_INTERVALS_REMOVED) && is_interval()
    }

    /// No element comes in another form: what is removed and what is added have no packet in common.
    fn forms_stay(&self) -> bool {
        self.chains_with_other_forms().next().is_none()
    }

    /// The chains in which a packet could be about a removed element and about an added one.
    fn chains_with_other_forms(&self) -> impl Iterator<Item = &'a Name> {
        let (removed, added) = if self.removed.is_empty() || self.added.is_empty() {
            Default::default()
        } else {
            (self.by_user(&self.removed), self.by_user(&self.added))
        };
        removed.into_iter().filter_map(move |(chain, removed)| {
            let added = added.get(chain)?;
            (!have_no_packet_in_common(&removed, added)).then_some(chain)
        })
    }

    /// The elements that change in the sets of each chain that decides by them, before and after, under the same rules.
    fn by_user(&self, changes: &BySet<'a>) -> BTreeMap<&'a Name, Vec<&'a Element>> {
        let mut by_user: BTreeMap<&'a Name, Vec<&'a Element>> = BTreeMap::new();
        for (set, elements) in decisive(changes) {
            for chain in self.users_of(set) {
                by_user.entry(chain).or_default().extend(elements);
            }
        }
        by_user
    }

    /// The sets that a chain looks packets up in now, by names without epochs.
    fn sets_before(&self, chain: &Name) -> Vec<Name> {
        let chain = self.old.chain(chain).into_iter();
        chain.flat_map(sets_of).map(logical_name).collect()
    }

    /// The same change with each class made anew whose elements come in another form, or whose interval sets lose many
    /// elements: then its sets are made anew as well, and packets meet the old ones or the new ones. A set is made anew
    /// with all of its users. `None` when there is no such class.
    pub(crate) fn with_classes_made_anew(&self) -> Option<Delta> {
        let many = decisive(&self.removed).map(|(set, _)| set);
        let mut chains = self.users(many.filter(|set| self.loses_many_intervals(set)));
        chains.extend(self.chains_with_other_forms());
        loop {
            let sets = chains.iter().flat_map(|chain| self.sets_before(chain));
            let sets: BTreeSet<Name> = sets
                .filter(|set| self.removed.contains_key(set) || self.added.contains_key(set))
                .collect();
            let users = self.users(sets.iter());
            if users.is_subset(&chains) {
                break;
            }
            chains.extend(users);
        }
        if chains.is_empty() || chains.iter().any(|chain| is_structural(chain)) {
            return None;
        }
        let mut delta = self.delta.clone();
        for name in chains {
            let chain = self.old.logical_chain(name);
            let (before, after) = (chain.clone(), chain);
            delta.chains.insert(name.clone(), Change { before, after });
        }
        Some(delta)
    }

    /// The chains that look packets up in these sets, before and after, under the same rules.
    fn users<'s>(&self, sets: impl Iterator<Item = &'s Name>) -> BTreeSet<&'a Name> {
        sets.flat_map(|set| self.users_of(set)).collect()
    }

    fn users_of(&self, set: &Name) -> impl Iterator<Item = &'a Name> {
        let chains = self.old.index.users.get(set).into_iter().flatten();
        chains.filter(|chain| !self.goes(chain) && !self.remade_chains.contains(chain))
    }

    /// A chain that an address comes to may lack, for a moment, only what is about this address.
    fn arrivals_meet_what_they_should(&self) -> bool {
        if self.moved.is_empty() && self.isolated.is_empty() {
            return true;
        }
        let moved = self
            .moved
            .iter()
            .map(|((_, address), (_, chain))| (*address, chain));
        let isolated = self.isolated.iter();
        let isolated = isolated.map(|((_, address), chain)| (*address, *chain));
        let sets = |chain: &Name| -> Vec<Name> {
            let chain = self.chain_after(chain);
            chain.iter().flat_map(sets_of).cloned().collect()
        };
        about_themselves(
            moved.chain(isolated),
            sets,
            &decisive(&self.added).collect(),
        )
    }

    /// A chain that an address leaves may lose early only what is about this address.
    fn departures_leave_what_they_may(&self) -> bool {
        if self.moved.is_empty() && self.freed.is_empty() {
            return true;
        }
        let moved = self
            .moved
            .iter()
            .map(|((_, address), (chain, _))| (*address, chain));
        let freed = self.freed.iter();
        let freed = freed.map(|((_, address), chain)| (*address, *chain));
        about_themselves(
            moved.chain(freed),
            |chain| self.sets_before(chain),
            &decisive(&self.removed).collect(),
        )
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
        (directions.len() <= 1 && !directions.contains(&None))
            || is_one_in_each_family(&addresses)
            || !self.takes_away_by_moving()
            || !distinct(self.moved.values()).any(|(old, new)| {
                is_narrower(&self.permissions_after(new), &self.permissions_before(old))
            })
    }
}

/// Of changes those of the sets that decide about packets and do not only count them.
fn decisive<'c, 'a>(
    changes: &'c BySet<'a>,
) -> impl Iterator<Item = (&'a Name, &'a BTreeSet<Element>)> + use<'c, 'a> {
    let sets = changes.iter().map(|(set, elements)| (*set, *elements));
    sets.filter(|(set, _)| !is_counting(set))
}

/// Whether no packet is about an element of both. Where these would be too many pairs to try, it is taken that one is.
fn have_no_packet_in_common(removed: &[&Element], added: &[&Element]) -> bool {
    removed.len().saturating_mul(added.len()) <= MOST_PAIRS
        && removed
            .iter()
            .all(|old| added.iter().all(|new| !old.touches(new)))
}

/// Whether `after` lacks something that `before` allows.
fn is_narrower(before: &Permissions<'_>, after: &Permissions<'_>) -> bool {
    !after.covers(before)
}

/// Whether the elements that change in the sets of each chain are about the addresses alone that come
/// to it or leave it, at most one of each family: only packets from such an address to itself would
/// notice, and these meet no class.
fn about_themselves<'a>(
    pods: impl Iterator<Item = (IpAddr, &'a Name)>,
    sets: impl Fn(&Name) -> Vec<Name>,
    changed: &BySet<'_>,
) -> bool {
    if changed.is_empty() {
        return true;
    }
    let mut by_chain: BTreeMap<&Name, BTreeSet<IpAddr>> = BTreeMap::new();
    for (address, chain) in pods {
        by_chain.entry(chain).or_default().insert(address);
    }
    by_chain.iter().all(|(chain, addresses)| {
        let sets = sets(chain);
        let changed = sets.iter().filter_map(|set| changed.get(set));
        let mut elements = changed.flat_map(|elements| elements.iter()).peekable();
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

fn distinct<T: Ord>(items: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    items.collect::<BTreeSet<T>>().into_iter()
}

/// Whether no class looks packets up in the set with these elements: that of pods with themselves, and that of link-local
/// addresses. They come before addresses are isolated and go when they are free again.
pub(crate) fn is_of_no_class(set: &Name, elements: &BTreeSet<Element>) -> bool {
    matches!(elements.first(), Some(Element::Pair(..))) || set.as_str() == LINK_LOCAL
}
