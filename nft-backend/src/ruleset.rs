//! The desired contents of our one table.
//!
//! Everything is ordered by name, so that the same policies give the same bytes. `Display` is nft
//! text that `nft -f` loads as it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::net::IpAddr;

use crate::digest::Digest;
use crate::element::{Element, Key};
use crate::names::{Epoch, Name};
use crate::statement::Rule;
use crate::value::Family;

/// The contents of one table of the `inet` family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    /// The table's name.
    pub table: Name,
    /// Named counters.
    pub counters: BTreeSet<Name>,
    /// Sets.
    pub sets: BTreeMap<Name, Set>,
    /// Verdict maps.
    pub maps: BTreeMap<Name, VerdictMap>,
    /// Base and regular chains.
    pub chains: BTreeMap<Name, Chain>,
}

/// A set of elements that rules look packets up in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// What it is keyed by.
    pub key: Key,
    /// Whether elements may be ranges. Without, the kernel makes it a hash, which costs a lookup
    /// half of the time.
    pub interval: bool,
    /// The elements, disjoint.
    pub elements: BTreeSet<Element>,
    /// Lines printed above the set in the text.
    pub comment: Vec<String>,
}

/// A map from a local pod's address to the chain that its packets go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictMap {
    /// The family of the addresses.
    pub family: Family,
    /// The chain that each address goes to.
    pub entries: BTreeMap<IpAddr, Name>,
    /// Lines printed above the map in the text.
    pub comment: Vec<String>,
}

/// A chain of rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// For a base chain, its priority at the forward hook. Its policy is always accept, because
    /// policy drop drops allowed packets while the rules are being replaced.
    pub priority: Option<i32>,
    /// The rules, in order.
    pub rules: Vec<Rule>,
    /// Lines printed above the chain in the text.
    pub comment: Vec<String>,
}

impl Ruleset {
    /// An empty table.
    pub fn new(table: Name) -> Self {
        Self {
            table,
            counters: BTreeSet::new(),
            sets: BTreeMap::new(),
            maps: BTreeMap::new(),
            chains: BTreeMap::new(),
        }
    }

    /// The same contents with the epoch at the end of the name of each set, map and regular chain.
    /// The base chain and the counters keep their names: they outlive epochs.
    #[must_use]
    pub fn at_epoch(&self, epoch: Epoch) -> Self {
        self.placed(|name| name.at(epoch))
    }

    /// The same contents with other names for sets, maps and regular chains.
    #[must_use]
    pub(crate) fn placed(&self, place: impl Fn(&Name) -> Name) -> Self {
        let rename = |name: &Name| {
            let chain = self.chains.get(name);
            if chain.is_some_and(|chain| chain.priority.is_some()) {
                name.clone()
            } else {
                place(name)
            }
        };
        let sets = self
            .sets
            .iter()
            .map(|(name, set)| (place(name), set.clone()));
        let maps = self
            .maps
            .iter()
            .map(|(name, map)| (place(name), map.rename(&rename)));
        let chains = self
            .chains
            .iter()
            .map(|(name, chain)| (rename(name), chain.rename(&rename)));
        Self {
            table: self.table.clone(),
            counters: self.counters.clone(),
            sets: sets.collect(),
            maps: maps.collect(),
            chains: chains.collect(),
        }
    }

    /// The same contents without comments, which the kernel does not keep.
    #[must_use]
    pub fn without_comments(&self) -> Self {
        let mut plain = self.clone();
        let chains = plain.chains.values_mut().map(|chain| &mut chain.comment);
        let sets = plain.sets.values_mut().map(|set| &mut set.comment);
        let maps = plain.maps.values_mut().map(|map| &mut map.comment);
        chains.chain(sets).chain(maps).for_each(Vec::clear);
        plain
    }

    /// The digest of all that the kernel keeps of it, comments left out.
    pub fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        digest.add("table", &self.table, &"");
        for name in &self.counters {
            digest += Digest::of_counter(name);
        }
        for (name, set) in &self.sets {
            digest.add_set(name, set);
        }
        for (name, map) in &self.maps {
            digest.add("map", name, &map.key());
            for (address, chain) in &map.entries {
                digest.add("entry", name, &Entry(*address, chain));
            }
        }
        for (name, chain) in &self.chains {
            digest.add_chain(name, chain);
        }
        digest
    }
}

impl Set {
    /// A set without elements and comment.
    pub fn new(key: Key, interval: bool) -> Self {
        Self {
            key,
            interval,
            elements: BTreeSet::new(),
            comment: Vec::new(),
        }
    }
}

impl VerdictMap {
    /// A map without entries and comment.
    pub fn new(family: Family) -> Self {
        Self {
            family,
            entries: BTreeMap::new(),
            comment: Vec::new(),
        }
    }

    /// The key of the map.
    pub const fn key(&self) -> Key {
        Key::Address(self.family)
    }

    pub(crate) fn rename(&self, rename: &impl Fn(&Name) -> Name) -> Self {
        let entries = self
            .entries
            .iter()
            .map(|(address, chain)| (*address, rename(chain)));
        Self {
            family: self.family,
            entries: entries.collect(),
            comment: self.comment.clone(),
        }
    }
}

impl Chain {
    /// A regular chain.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self {
            priority: None,
            rules: rules.into_iter().collect(),
            comment: Vec::new(),
        }
    }

    pub(crate) fn rename(&self, rename: &impl Fn(&Name) -> Name) -> Self {
        let rules = self.rules.iter().map(|rule| rule.rename(rename)).collect();
        Self {
            rules,
            priority: self.priority,
            comment: self.comment.clone(),
        }
    }
}

/// The text has maps, sets and counters first, then the chains with the base chain last.
impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(f, self)
    }
}

fn write_text(out: &mut impl Write, ruleset: &Ruleset) -> fmt::Result {
    writeln!(out, "table inet {} {{", ruleset.table)?;
    for (name, map) in &ruleset.maps {
        write_comment(out, &map.comment)?;
        writeln!(out, "\tmap {name} {{\n\t\ttype {} : verdict", map.key())?;
        write_elements(
            out,
            map.entries
                .iter()
                .map(|(address, chain)| Entry(*address, chain)),
        )?;
        writeln!(out, "\t}}")?;
    }
    for (name, set) in &ruleset.sets {
        write_comment(out, &set.comment)?;
        writeln!(out, "\tset {name} {{\n\t\ttype {}", set.key)?;
        if set.interval {
            writeln!(out, "\t\tflags interval")?;
        }
        if let Some(room) = set.key.room() {
            writeln!(out, "\t\tsize {room}")?;
        }
        write_elements(out, set.elements.iter())?;
        writeln!(out, "\t}}")?;
    }
    for name in &ruleset.counters {
        writeln!(out, "\tcounter {name} {{ }}")?;
    }
    let (base, regular): (Vec<_>, Vec<_>) = ruleset
        .chains
        .iter()
        .partition(|(_, chain)| chain.priority.is_some());
    for (name, chain) in regular.into_iter().chain(base) {
        write_comment(out, &chain.comment)?;
        writeln!(out, "\tchain {name} {{")?;
        if let Some(priority) = chain.priority {
            writeln!(
                out,
                "\t\ttype filter hook forward priority {priority}; policy accept;"
            )?;
        }
        for rule in &chain.rules {
            writeln!(out, "\t\t{rule}")?;
        }
        writeln!(out, "\t}}")?;
    }
    writeln!(out, "}}")
}

/// `10.1.0.2 : goto i_web`
pub(crate) struct Entry<'a>(pub(crate) IpAddr, pub(crate) &'a Name);

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} : goto {}", self.0, self.1)
    }
}

fn write_elements(
    out: &mut impl Write,
    elements: impl ExactSizeIterator<Item: fmt::Display>,
) -> fmt::Result {
    if elements.len() == 0 {
        return Ok(());
    }
    writeln!(out, "\t\telements = {{")?;
    for element in elements {
        writeln!(out, "\t\t\t{element},")?;
    }
    writeln!(out, "\t\t}}")
}

/// A comment ends with its line, so a line break within one starts another.
fn write_comment(out: &mut impl Write, lines: &[String]) -> fmt::Result {
    for line in lines.iter().flat_map(|line| line.split(['\n', '\r'])) {
        writeln!(out, "\t# {line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Statement;

    fn with_comment(comment: &str) -> Ruleset {
        let mut ruleset = Ruleset::new(Name::fixed("nopal"));
        let mut chain = Chain::new([Rule::new([Statement::Drop])]);
        chain.comment = vec![comment.to_owned()];
        ruleset.chains.insert(Name::fixed("i_web"), chain);
        ruleset
    }

    #[test]
    fn a_comment_cannot_break_out_of_its_line() {
        let text = with_comment("pods\n}\rflush ruleset").to_string();
        let expected = "table inet nopal {\n\t# pods\n\t# }\n\t# flush ruleset\n\
                        \tchain i_web {\n\t\tdrop\n\t}\n}\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_digest_follows_the_rules_and_not_the_comments() {
        let digest = with_comment("a").digest();
        assert_eq!(digest, with_comment("b").digest());
        let mut other = with_comment("a");
        other.chains.clear();
        assert_ne!(digest, other.digest());
    }

    #[test]
    fn an_epoch_renames_everything_but_the_base_chain_and_counters() {
        let mut ruleset = with_comment("a");
        let [base, counter] = [Name::fixed("nopal_forward"), Name::fixed("denied")];
        let rules = [
            Statement::Jump(Name::fixed("i_web")),
            Statement::Counter(counter.clone()),
        ];
        let chain = Chain {
            priority: Some(0),
            ..Chain::new([Rule::new(rules)])
        };
        ruleset.chains.insert(base.clone(), chain);
        ruleset.counters.insert(counter);
        let renamed = ruleset.at_epoch(Epoch::FIRST.next());
        let rule = renamed.chains[&base].rules[0].to_string();
        assert_eq!(rule, "jump i_web_e2 counter name denied");
        assert!(renamed.chains.contains_key(&Name::fixed("i_web_e2")));
    }
}
