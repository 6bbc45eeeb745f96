//! A node's rules as nft reads them.

use nft_backend::ruleset::Ruleset;
use nft_backend::transaction::{Object, Transaction};

use crate::args::RulesFormat;

/// The rules as a file of their own.
pub fn rules(ruleset: &Ruleset, format: RulesFormat) -> String {
    match format {
        RulesFormat::Nft => ruleset.to_string(),
        RulesFormat::Json => {
            let json = transaction(ruleset.clone()).to_json();
            let text = String::from_utf8_lossy(&json).into_owned();
            text + "\n"
        }
    }
}

/// Makes the whole table. Objects come before what refers to them.
fn transaction(ruleset: Ruleset) -> Transaction {
    let mut transaction = Transaction::new(ruleset.table);
    transaction.add(Object::Table);
    for counter in ruleset.counters {
        transaction.add(Object::Counter(counter));
    }
    for (name, set) in ruleset.sets {
        transaction.add(Object::Set {
            name: name.clone(),
            key: set.key,
            interval: set.interval,
        });
        if !set.elements.is_empty() {
            transaction.add(Object::Elements {
                set: name,
                elements: set.elements,
            });
        }
    }
    for (name, chain) in &ruleset.chains {
        transaction.add(Object::Chain {
            name: name.clone(),
            priority: chain.priority,
        });
    }
    for (name, map) in ruleset.maps {
        transaction.add(Object::Map {
            name: name.clone(),
            family: map.family,
        });
        if !map.entries.is_empty() {
            transaction.add(Object::Entries {
                map: name,
                entries: map.entries,
            });
        }
    }
    for (name, chain) in ruleset.chains {
        for rule in chain.rules {
            transaction.add(Object::Rule {
                chain: name.clone(),
                rule,
            });
        }
    }
    transaction
}
