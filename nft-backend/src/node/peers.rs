//! The peer sets of split permissions: classes whose peers are the same addresses share one.
//!
//! Each split has a label of its own; of those with the same addresses the first label names the set of all. Which ones
//! have the same is told by a digest of the addresses, which follows their changes, and then by comparing them, unless
//! they were the same before and changed alike.

use std::collections::{BTreeMap, BTreeSet};

use super::classes::ClassNumber;
use super::tally::Tally;
use crate::class_chain::{Rank, Sets, peers_stem, rank, set_name};
use crate::digest::Digest;
use crate::element::Element;
use crate::names::{Label, Name};

/// All splits of the node.
#[derive(Debug, Default)]
pub(super) struct PeerSets {
    splits: BTreeMap<Label, Split>,
    groups: BTreeMap<GroupKey, BTreeSet<Label>>,
}

/// Splits with the same addresses: their digest, and a number that tells groups apart whose digests are the same.
type GroupKey = (Digest, usize);

#[derive(Debug)]
struct Split {
    owner: Owner,
    group: GroupKey,
    ranks: BTreeMap<Rank, usize>,
}

/// A split of a class, by its number there.
pub(super) type Owner = (ClassNumber, usize);

/// What happens to a split.
#[derive(Debug, Default)]
pub(super) struct SplitChange {
    /// The split that has the label afterwards, if any has.
    pub(super) owner: Option<Owner>,
    pub(super) removed: BTreeSet<Element>,
    pub(super) added: BTreeSet<Element>,
}

impl SplitChange {
    /// Drops what goes and comes again.
    pub(super) fn settle(&mut self) {
        if self.removed.is_disjoint(&self.added) {
            return;
        }
        let removed = &self.removed - &self.added;
        self.added = &self.added - &self.removed;
        self.removed = removed;
    }
}

impl PeerSets {
    /// Takes changes over, adds what they do to sets to `tally`, and gives the classes whose lookups may be others.
    /// `peers` tells the addresses that a split has now.
    pub(super) fn update(
        &mut self,
        mut changes: BTreeMap<Label, SplitChange>,
        peers: impl Fn(Owner) -> BTreeSet<Element>,
        tally: &mut Tally,
    ) -> BTreeSet<ClassNumber> {
        changes.values_mut().for_each(SplitChange::settle);
        let mut named_a_set: BTreeMap<Label, bool> = BTreeMap::new();
        let mut left: BTreeMap<Label, GroupKey> = BTreeMap::new();
        let mut ranks_before: BTreeMap<Label, BTreeMap<Rank, usize>> = BTreeMap::new();
        for label in changes.keys() {
            if let Some(split) = self.splits.get(label) {
                left.insert(label.clone(), split.group);
                self.note_names(split.group, &mut named_a_set);
            }
        }
        for (label, group) in &left {
            self.leave(label, *group);
        }
        for (label, change) in &changes {
            let Some(owner) = change.owner else {
                if let Some(split) = self.splits.remove(label) {
                    ranks_before.insert(label.clone(), split.ranks);
                }
                continue;
            };
            let former = self.splits.remove(label);
            let mut digest = left.get(label).map_or(Digest::default(), |group| group.0);
            digest -= digest_of(&change.removed);
            digest += digest_of(&change.added);
            let before = former.map(|split| split.ranks).unwrap_or_default();
            let ranks = recount(&before, change);
            ranks_before.insert(label.clone(), before);
            let is_like = |other: &Label, other_owner: Owner| {
                let same_way = left
                    .get(label)
                    .is_some_and(|group| left.get(other) == Some(group));
                let alike = changes.get(other).is_some_and(|other| {
                    same_way && other.removed == change.removed && other.added == change.added
                });
                alike || peers(owner) == peers(other_owner)
            };
            let group = self.find(digest, is_like);
            self.note_names(group, &mut named_a_set);
            self.groups.entry(group).or_default().insert(label.clone());
            let split = Split {
                owner,
                group,
                ranks,
            };
            self.splits.insert(label.clone(), split);
        }
        let mut touched: BTreeSet<Label> = changes.keys().cloned().collect();
        touched.extend(named_a_set.keys().cloned());
        for label in &touched {
            let was = named_a_set.get(label).copied().unwrap_or(false);
            let is = self.names_a_set(label);
            let nothing = SplitChange::default();
            let change = changes.get(label).unwrap_or(&nothing);
            let now = || {
                let split = self.splits.get(label);
                split.map(|split| peers(split.owner)).unwrap_or_default()
            };
            let before = || -> BTreeSet<Element> { &(&now() - &change.added) | &change.removed };
            let none = BTreeSet::new;
            let (removed, added) = match (was, is) {
                (true, true) => (change.removed.clone(), change.added.clone()),
                (true, false) => (before(), none()),
                (false, true) => (none(), now()),
                (false, false) => continue,
            };
            let ranks = ranks_before
                .get(label)
                .or_else(|| self.splits.get(label).map(|split| &split.ranks));
            let ranks = ranks.filter(|_| was).cloned().unwrap_or_default();
            add_to(tally, &peers_stem(label), &ranks, removed, added);
        }
        let owner = |label: &Label| self.splits.get(label).map(|split| split.owner.0);
        touched.iter().filter_map(owner).collect()
    }

    /// The sets that hold the addresses of a split.
    pub(super) fn sets(&self, label: &Label) -> Sets {
        let Some(split) = self.splits.get(label) else {
            return Sets::new();
        };
        let first = self.groups.get(&split.group).and_then(BTreeSet::first);
        sets_of(&peers_stem(first.unwrap_or(label)), split.ranks.keys())
    }

    /// The number of splits.
    pub(super) fn count(&self) -> usize {
        self.splits.len()
    }

    fn leave(&mut self, label: &Label, group: GroupKey) {
        if let Some(labels) = self.groups.get_mut(&group) {
            labels.remove(label);
            if labels.is_empty() {
                self.groups.remove(&group);
            }
        }
    }

    /// The group of this digest whose first split is alike, or the key of a new one.
    fn find(&self, digest: Digest, is_like: impl Fn(&Label, Owner) -> bool) -> GroupKey {
        let mut free = 0;
        for (&key, labels) in self.groups.range((digest, 0)..=(digest, usize::MAX)) {
            let first = labels
                .first()
                .and_then(|label| Some((label, self.splits.get(label)?)));
            if first.is_some_and(|(label, split)| is_like(label, split.owner)) {
                return key;
            }
            free = key.1 + 1;
        }
        (digest, free)
    }

    /// Notes which splits of a group name a set, if that is not known yet.
    fn note_names(&self, group: GroupKey, noted: &mut BTreeMap<Label, bool>) {
        let labels = self.groups.get(&group).into_iter().flatten();
        for (place, label) in labels.enumerate() {
            noted.entry(label.clone()).or_insert(place == 0);
        }
    }

    fn names_a_set(&self, label: &Label) -> bool {
        let split = self.splits.get(label);
        let group = split.and_then(|split| self.groups.get(&split.group));
        group.and_then(BTreeSet::first) == Some(label)
    }
}

/// The sets with this stem that have elements of these ranks.
pub(super) fn sets_of<'r>(stem: &str, ranks: impl Iterator<Item = &'r Rank>) -> Sets {
    ranks
        .map(|&(interval, key)| (key, set_name(stem, key, interval)))
        .collect()
}

/// Adds elements that go and come, each to the set with this stem that holds such elements.
pub(super) fn add_to(
    tally: &mut Tally,
    stem: &str,
    before: &BTreeMap<Rank, usize>,
    removed: BTreeSet<Element>,
    added: BTreeSet<Element>,
) {
    let mut by_rank: BTreeMap<Rank, [Vec<Element>; 2]> = BTreeMap::new();
    for (index, elements) in [removed, added].into_iter().enumerate() {
        for element in elements {
            by_rank.entry(rank_of(&element)).or_default()[index].push(element);
        }
    }
    for (rank, [removed, added]) in by_rank {
        let (interval, key) = rank;
        let name: Name = set_name(stem, key, interval);
        let before = before.get(&rank).copied().unwrap_or_default();
        tally.set(name, rank, before, removed, added);
    }
}

/// Which of the sets with one stem holds the element.
pub(super) fn rank_of(element: &Element) -> Rank {
    rank(element.key(), !element.is_exact())
}

/// How many elements of each rank there are after a change.
pub(super) fn recount(
    before: &BTreeMap<Rank, usize>,
    change: &SplitChange,
) -> BTreeMap<Rank, usize> {
    let mut ranks = before.clone();
    for element in &change.added {
        *ranks.entry(rank_of(element)).or_default() += 1;
    }
    for element in &change.removed {
        *ranks.entry(rank_of(element)).or_default() -= 1;
    }
    ranks.retain(|_, count| *count > 0);
    ranks
}

fn digest_of(elements: &BTreeSet<Element>) -> Digest {
    Digest::of_elements(&Name::fixed("peers"), elements)
}
