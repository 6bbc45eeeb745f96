//! What the kernel holds in our table.
//!
//! Which load it comes from is kept in the table itself, in rule comments, so that a program that
//! starts anew, or another one, finds it: the base chain's first rule names the epoch and the digest
//! of the ruleset, the stamping rule the generation that it stamps.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::element::{Element, Key};
use crate::generation::{Generation, MarkBits};
use crate::names::{BASE, Epoch, Name, STAMP};
use crate::ruleset::{Digest, Ruleset};

/// The contents of our table as the kernel tells them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InForce {
    /// Named counters.
    pub counters: BTreeSet<Name>,
    /// Sets.
    pub sets: BTreeMap<Name, ListedSet>,
    /// Maps.
    pub maps: BTreeMap<Name, ListedMap>,
    /// Chains.
    pub chains: BTreeMap<Name, ListedChain>,
    /// Other objects, which are not ours: `flowtable fastpath`.
    pub others: BTreeSet<String>,
}

/// A set as the kernel tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedSet {
    /// The nft types of its key.
    pub types: Vec<String>,
    /// Whether elements may be ranges.
    pub interval: bool,
    /// Its elements.
    pub elements: BTreeSet<Element>,
    /// Elements that are none of ours, as the kernel tells them.
    pub unread: Vec<String>,
}

/// A map as the kernel tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedMap {
    /// The nft types of its key.
    pub types: Vec<String>,
    /// The chain that each address goes to.
    pub entries: BTreeMap<IpAddr, Name>,
    /// Entries that are none of ours, as the kernel tells them.
    pub unread: Vec<String>,
}

/// A chain as the kernel tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedChain {
    /// For a base chain, its hook and priority.
    pub hook: Option<(String, i32)>,
    /// The comment of each rule.
    pub rules: Vec<Option<String>>,
}

/// What our rules have denied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Denied {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The hook of our base chain.
pub(crate) const HOOK: &str = "forward";

/// The comment of the base chain's first rule.
pub(crate) fn base_comment(epoch: Epoch, digest: Digest) -> String {
    format!("epoch {epoch} digest {digest}")
}

/// The comment of the rule that stamps.
pub(crate) fn stamp_comment(bits: MarkBits, generation: Generation) -> String {
    format!("generation {generation} mask {bits}")
}

impl InForce {
    /// The epoch whose objects packets pass, if a load of ours was switched to.
    pub fn epoch(&self) -> Option<Epoch> {
        let (epoch, _) = self.base_words()?;
        epoch.parse().ok().map(Epoch::from_number)
    }

    /// The digest of the ruleset that was loaded.
    pub fn digest(&self) -> Option<Digest> {
        let (_, digest) = self.base_words()?;
        u64::from_str_radix(digest, 16).ok().map(Digest)
    }

    /// The generation that packets are stamped with, and the bits that it is written to.
    pub fn generation(&self) -> Option<(MarkBits, Generation)> {
        let stamp = self.chains.get(&Name::fixed(STAMP).at(self.epoch()?))?;
        let comment = stamp.rules.iter().flatten().last()?;
        let (generation, mask) = comment
            .strip_prefix("generation ")?
            .split_once(" mask 0x")?;
        let bits = MarkBits::from_mask(u32::from_str_radix(mask, 16).ok()?).ok()?;
        Some((
            bits,
            Generation::from_number(bits, generation.parse().ok()?)?,
        ))
    }

    /// The newest epoch that any object carries, also one that was never switched to.
    pub fn newest_epoch(&self) -> Option<Epoch> {
        let sets_and_maps = self.sets.keys().chain(self.maps.keys());
        sets_and_maps
            .chain(self.chains.keys())
            .filter_map(Name::epoch)
            .max()
    }

    /// What a kernel would tell of this ruleset.
    pub(crate) fn of(ruleset: &Ruleset) -> Self {
        let types = |key: Key| key.types().iter().map(ToString::to_string).collect();
        let sets = ruleset.sets.iter().map(|(name, set)| {
            let (interval, elements) = (set.interval, set.elements.clone());
            (
                name.clone(),
                ListedSet {
                    types: types(set.key),
                    interval,
                    elements,
                    unread: vec![],
                },
            )
        });
        let maps = ruleset.maps.iter().map(|(name, map)| {
            let (types, entries) = (types(map.key()), map.entries.clone());
            (
                name.clone(),
                ListedMap {
                    types,
                    entries,
                    unread: vec![],
                },
            )
        });
        let chains = ruleset.chains.iter().map(|(name, chain)| {
            let hook = chain.priority.map(|priority| (HOOK.to_owned(), priority));
            let rules = chain
                .rules
                .iter()
                .map(|rule| rule.comment.clone())
                .collect();
            (name.clone(), ListedChain { hook, rules })
        });
        Self {
            counters: ruleset.counters.clone(),
            sets: sets.collect(),
            maps: maps.collect(),
            chains: chains.collect(),
            others: BTreeSet::new(),
        }
    }

    /// What is left when elements are not asked for.
    #[must_use]
    pub(crate) fn without_elements(mut self) -> Self {
        self.sets.values_mut().for_each(|set| set.elements.clear());
        self.maps.values_mut().for_each(|map| map.entries.clear());
        self
    }

    fn base_words(&self) -> Option<(&str, &str)> {
        let base = self.chains.get(&Name::fixed(BASE))?;
        base.rules
            .first()?
            .as_deref()?
            .strip_prefix("epoch ")?
            .split_once(" digest ")
    }
}
