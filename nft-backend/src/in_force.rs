//! What the kernel holds in our table.
//!
//! Which load it comes from is kept in the table itself, in rule comments, so that a program that
//! starts anew, or another one, finds it: the base chain's first rule names the epoch of the chains
//! that packets pass, the rule that marks flows the generation that it writes, and a set that no rule looks
//! at holds the digest of the ruleset, so that a change of elements alone can change it too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use crate::class_counters::is_of_class;
use crate::digest::Digest;
use crate::element::{Element, Key};
use crate::generation::{Generation, MarkBits};
use crate::names::{AUDITED, BASE, DENIED, DIGEST, Epoch, Name, STAMP, WRITE_MARK};
use crate::rule_counters::is_of_rule;
use crate::ruleset::{Ruleset, Set};
use crate::value::{AddressRange, Family};

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
    /// For a base chain, whether packets that fall off its end are dropped; those of ours never are.
    pub drops: bool,
    /// The comment of each rule.
    pub rules: Vec<Option<String>>,
}

/// What our rules have counted since the table was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// What they denied.
    pub denied: Traffic,
    /// What passed because its class is only audited. Of a flow that is the first packet, before it is marked as
    /// evaluated, and the first after rules came to take more.
    pub audited: Traffic,
}

/// How much a counter has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The hook of our base chain.
pub(crate) const HOOK: &str = "forward";

/// The comment of the base chain's first rule.
pub(crate) fn base_comment(epoch: Epoch) -> String {
    format!("epoch {epoch}")
}

/// The set that holds a digest, written as an address: no rule looks a packet up in it.
pub(crate) fn digest_set(digest: Digest) -> Set {
    let address = IpAddr::V6(Ipv6Addr::from_bits(digest.0));
    let mut set = Set::new(Key::Address(Family::V6), false);
    set.elements
        .insert(Element::Address(AddressRange::single(address)));
    set
}

pub(crate) fn digest_of(element: &Element) -> Option<Digest> {
    let Element::Address(range) = element else {
        return None;
    };
    let IpAddr::V6(address) = range.first() else {
        return None;
    };
    Some(Digest(address.to_bits()))
}

/// The comment of the rule that writes the generation.
pub(crate) fn mark_comment(bits: MarkBits, generation: Generation) -> String {
    format!("generation {generation} mask {bits}")
}

impl InForce {
    /// The epoch whose chains packets pass, if a load of ours was switched to. Sets, and classes that
    /// came later, may be of other epochs.
    pub fn epoch(&self) -> Option<Epoch> {
        let base = self.chains.get(&Name::fixed(BASE))?;
        read_base_comment(base.rules.first()?.as_deref()?)
    }

    /// The digest of the ruleset that was put in force.
    pub fn digest(&self) -> Option<Digest> {
        let set = self.sets.get(&Name::fixed(DIGEST).at(self.epoch()?))?;
        set.elements.first().and_then(digest_of)
    }

    /// The generation that packets are stamped with, and the bits that it is written to.
    pub fn generation(&self) -> Option<(MarkBits, Generation)> {
        let epoch = self.epoch()?;
        // Before there was a chain for it, the last rule of `stamp` wrote the generation.
        [WRITE_MARK, STAMP].iter().find_map(|chain| {
            let chain = self.chains.get(&Name::fixed(*chain).at(epoch))?;
            read_mark_comment(chain.rules.iter().flatten().last()?)
        })
    }

    /// The newest epoch that any object carries, also one that was never switched to.
    pub fn newest_epoch(&self) -> Option<Epoch> {
        let sets_and_maps = self.sets.keys().chain(self.maps.keys());
        sets_and_maps
            .chain(self.chains.keys())
            .filter_map(Name::epoch)
            .max()
    }

    /// What shows that somebody else made this table; `None` when it is ours.
    ///
    /// A load leaves its epoch in it, which makes it ours whatever others have put into it later. Without, it is
    /// ours when everything in it has a name of ours: it was left by a first load that failed half-way, or somebody
    /// flushed its rules; or when there is nothing in it that anybody could miss.
    pub fn foreign(&self) -> Option<String> {
        if self.epoch().is_some() {
            return None;
        }
        let is_foreign = |name: &&Name| name.epoch().is_none() && name.as_str() != BASE;
        let told = |kind: &str, name: Option<&Name>| name.map(|name| format!("{kind} {name}"));
        told("chain", self.chains.keys().find(is_foreign))
            .or_else(|| told("set", self.sets.keys().find(is_foreign)))
            .or_else(|| told("map", self.maps.keys().find(is_foreign)))
            .or_else(|| self.others.first().cloned())
            .or_else(|| {
                let mut counters = self.counters.iter();
                let is_ours = |name: &Name| {
                    [DENIED, AUDITED].contains(&name.as_str())
                        || is_of_class(name)
                        || is_of_rule(name)
                };
                told("counter", counters.find(|name| !is_ours(name)))
            })
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
            (
                name.clone(),
                ListedChain {
                    hook,
                    drops: false,
                    rules,
                },
            )
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
}

/// Reads what [`base_comment`] wrote.
pub(crate) fn read_base_comment(comment: &str) -> Option<Epoch> {
    let number = comment.strip_prefix("epoch ")?.parse().ok()?;
    Some(Epoch::from_number(number))
}

/// Reads what [`mark_comment`] wrote.
pub(crate) fn read_mark_comment(comment: &str) -> Option<(MarkBits, Generation)> {
    let (generation, mask) = comment
        .strip_prefix("generation ")?
        .split_once(" mask 0x")?;
    let bits = MarkBits::from_mask(u32::from_str_radix(mask, 16).ok()?).ok()?;
    let generation = Generation::from_number(bits, generation.parse().ok()?)?;
    Some((bits, generation))
}
