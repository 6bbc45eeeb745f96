//! The transaction that makes objects, in the order that keeps changes cheap.
//!
//! The kernel finds a set or a map by walking the list of all that a table has, in the order in which they were made, and
//! comparing names (`nft_set_lookup`). It does so for each message about elements. So what changes most often is made
//! first: the maps, which every pod of the node comes into, what every change writes, and the sets of peers.

use crate::element::Key;
use crate::load::add_rules;
use crate::ruleset::{Ruleset, Set};
use crate::transaction::{Object, Transaction};

/// Makes all of this. Objects come before what refers to them: maps and sets, chains, entries of maps, and then the
/// rules.
pub(crate) fn create(contents: Ruleset) -> Transaction {
    let mut transaction = Transaction::new(contents.table);
    transaction.add(Object::Table);
    for counter in contents.counters {
        transaction.add(Object::Counter(counter));
    }
    for (name, map) in &contents.maps {
        transaction.create(Object::Map {
            name: name.clone(),
            family: map.family,
        });
    }
    let mut sets: Vec<_> = contents.sets.into_iter().collect();
    sets.sort_by_key(|(_, set)| rarity(set));
    for (name, set) in sets {
        let (key, interval) = (set.key, set.interval);
        transaction.create(Object::Set {
            name: name.clone(),
            key,
            interval,
        });
        if !set.elements.is_empty() {
            transaction.add(Object::Elements {
                set: name,
                elements: set.elements,
            });
        }
    }
    for name in contents.chains.keys() {
        transaction.create(Object::Chain {
            name: name.clone(),
            priority: None,
        });
    }
    for (name, map) in contents.maps {
        if !map.entries.is_empty() {
            transaction.add(Object::Entries {
                map: name,
                entries: map.entries,
            });
        }
    }
    for (name, chain) in contents.chains {
        add_rules(&mut transaction, &name, chain);
    }
    transaction
}

/// The less often the elements of a set change, the higher. Pairs and the generation are the table's own; addresses of
/// pods come and go; blocks and ports are what policies say.
const fn rarity(set: &Set) -> u8 {
    match (set.key, set.interval) {
        (Key::Mark | Key::Pair(_), _) => 0,
        (Key::Address(_) | Key::PeerPort(_), false) => 1,
        (Key::Address(_) | Key::PeerPort(_), true) => 2,
        (Key::Port, _) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Name;
    use crate::ruleset::VerdictMap;
    use crate::transaction::Command;
    use crate::value::Family;

    #[test]
    fn what_changes_often_is_made_first() {
        let mut contents = Ruleset::new(Name::fixed("nopal"));
        for (name, key, interval) in [
            ("a_ports", Key::Port, false),
            ("b_blocks", Key::Address(Family::V4), true),
            ("c_peers", Key::PeerPort(Family::V6), false),
            ("d_others", Key::Address(Family::V4), false),
            ("e_pairs", Key::Pair(Family::V4), false),
            ("f_mark", Key::Mark, false),
        ] {
            contents
                .sets
                .insert(Name::fixed(name), Set::new(key, interval));
        }
        let map = VerdictMap::new(Family::V4);
        contents.maps.insert(Name::fixed("g_pods"), map);
        let transaction = create(contents);
        let made = transaction
            .commands
            .iter()
            .filter_map(|command| match command {
                Command::Create(Object::Set { name, .. } | Object::Map { name, .. }) => {
                    Some(name.as_str())
                }
                _ => None,
            });
        let expected = [
            "g_pods", "e_pairs", "f_mark", "c_peers", "d_others", "b_blocks", "a_ports",
        ];
        assert_eq!(made.collect::<Vec<_>>(), expected);
    }
}
