//! What differs between the table in force and a ruleset, found by comparing all of both.

use std::collections::{BTreeMap, BTreeSet};

use crate::delta::{Change, Delta, SetChange};
use crate::layout::mark_chain;
use crate::names::{GENERATION, Name, WRITE_MARK};
use crate::placement::Placement;
use crate::rule_counters::is_of_rule;
use crate::ruleset::{Chain, Ruleset, Set};
use crate::statement::Statement;

/// The delta from the table in force to `new`, but for the generation, which is no part of a ruleset. Sets that are
/// replaced by sets of another type are in it as made.
pub(crate) fn compare(old: Placement<'_>, new: &Ruleset) -> Delta {
    let mut delta = Delta {
        to: new.digest(),
        from: old.index.digest.unwrap_or_default(),
        ..Delta::default()
    };
    let is_generation = |name: &Name| name.as_str() == GENERATION;
    for (name, set) in new.sets.iter().filter(|(name, _)| !is_generation(name)) {
        let change = match old.set(name) {
            Some(former) if is_alike(former, set) => SetChange::between(former, set),
            _ => Some(SetChange::Made(set.clone())),
        };
        delta
            .sets
            .extend(change.map(|change| (name.clone(), change)));
    }
    for (name, set) in old.logical(&old.contents.sets) {
        if !new.sets.contains_key(name) && !is_generation(name) {
            delta
                .sets
                .insert(name.clone(), SetChange::Gone(set.clone()));
        }
    }
    let generation = old.index.generation;
    let mark_chain = generation.map(|(bits, generation)| mark_chain(bits, generation));
    for (name, chain) in &new.chains {
        let current = mark_chain.as_ref().filter(|_| name.as_str() == WRITE_MARK);
        let chain = current.unwrap_or(chain);
        let before = old.logical_chain(name);
        if !before
            .as_ref()
            .is_some_and(|before| has_same_rules(before, chain))
        {
            let after = Some(chain.clone());
            delta.chains.insert(name.clone(), Change { before, after });
        }
    }
    for (name, _) in old.logical(&old.contents.chains) {
        if !new.chains.contains_key(name) {
            let (before, after) = (old.logical_chain(name), None);
            delta.chains.insert(name.clone(), Change { before, after });
        }
    }
    for (map, contents) in &new.maps {
        let mut former: BTreeMap<_, _> = old.entries(map).collect();
        for (address, chain) in &contents.entries {
            let before = former.remove(address);
            if before.as_ref() != Some(chain) {
                let after = Some(chain.clone());
                delta
                    .entries
                    .insert((map.clone(), *address), Change { before, after });
            }
        }
        let freed = former.into_iter().map(|(address, chain)| {
            let before = Some(chain);
            (
                (map.clone(), address),
                Change {
                    before,
                    after: None,
                },
            )
        });
        delta.entries.extend(freed);
    }
    let of_rules = |ruleset: &Ruleset| -> BTreeSet<Name> {
        let counters = ruleset.counters.iter();
        counters.filter(|name| is_of_rule(name)).cloned().collect()
    };
    let (before, after) = (of_rules(old.contents), of_rules(new));
    let differing = before.symmetric_difference(&after);
    delta.rule_counters = differing
        .map(|name| (name.clone(), after.contains(name)))
        .collect();
    delta
}

/// Whether both have the same maps.
pub(crate) fn has_same_maps(old: Placement<'_>, new: &Ruleset) -> bool {
    let families = old.logical(&old.contents.maps);
    let families = families.map(|(name, map)| (name, map.family));
    families.eq(new.maps.iter().map(|(name, map)| (name, map.family)))
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
