//! What the kernel holds otherwise than the last load left it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::in_force::{HOOK, InForce, ListedChain, ListedMap, ListedSet};
use crate::layout::generation_set;
use crate::names::{DIGEST, Epoch, GENERATION, Name};
use crate::ruleset::{Chain, Entry, Ruleset, Set, VerdictMap};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The object: `set i_db_h4_e7`.
    pub object: String,
    /// What is different about it.
    pub kind: DriftKind,
}

/// What is different about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriftKind {
    /// It should be there.
    Missing,
    /// It should not be there.
    Unexpected,
    /// It lacks an element.
    MissingElement(String),
    /// It has an element that it should not have.
    UnexpectedElement(String),
    /// Its definition or its rules differ.
    Different {
        /// What it should be.
        desired: String,
        /// What it is.
        found: String,
    },
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = &self.object;
        match &self.kind {
            DriftKind::Missing => write!(f, "{object} is missing"),
            DriftKind::Unexpected => write!(f, "{object} is not ours"),
            DriftKind::MissingElement(element) => write!(f, "{object} lacks {element}"),
            DriftKind::UnexpectedElement(element) => write!(f, "{object} has {element} too many"),
            DriftKind::Different { desired, found } => {
                write!(f, "{object} has {found} in place of {desired}")
            }
        }
    }
}

/// The differences between a ruleset that was loaded, and what the kernel tells now; in the order of
/// names. Rules are compared by their number alone: nft lists them in other words than it took them.
/// The digest is not compared; [`InForce::digest`] tells it.
pub fn drift(loaded: &Ruleset, in_force: &InForce) -> Vec<Drift> {
    let Some(epoch) = in_force.epoch() else {
        return vec![Drift {
            object: format!("table {}", loaded.table),
            kind: DriftKind::Missing,
        }];
    };
    let (mut desired, digest) = placed(loaded, in_force, epoch);
    // What is loaded says the first generation; which one is in force, the table tells.
    if let Some((bits, generation)) = in_force.generation() {
        let name = Name::fixed(GENERATION).at(epoch);
        let sets = desired.sets.iter_mut().filter(|(set, _)| **set == name);
        sets.for_each(|(_, set)| *set = generation_set(bits, generation));
    }
    let mut found = Found(Vec::new());
    found.names(
        "counter",
        &desired.counters.iter().collect(),
        &in_force.counters.iter().collect(),
    );
    found.names(
        "set",
        &desired.sets.keys().chain([&digest]).collect(),
        &in_force.sets.keys().collect(),
    );
    found.names(
        "map",
        &desired.maps.keys().collect(),
        &in_force.maps.keys().collect(),
    );
    found.names(
        "chain",
        &desired.chains.keys().collect(),
        &in_force.chains.keys().collect(),
    );
    for object in &in_force.others {
        found.add(object.clone(), DriftKind::Unexpected);
    }
    for (name, set) in &desired.sets {
        if let Some(listed) = in_force.sets.get(name) {
            found.set(&format!("set {name}"), set, listed);
        }
    }
    for (name, map) in &desired.maps {
        if let Some(listed) = in_force.maps.get(name) {
            found.map(&format!("map {name}"), map, listed);
        }
    }
    for (name, chain) in &desired.chains {
        if let Some(listed) = in_force.chains.get(name) {
            found.chain(&format!("chain {name}"), chain, listed);
        }
    }
    found.0
}

/// The ruleset under the names that its objects have in the kernel, and the name of the set with its
/// digest. Of several objects that differ by their epoch alone, the newest counts: increments leave
/// just one.
fn placed(loaded: &Ruleset, in_force: &InForce, epoch: Epoch) -> (Ruleset, Name) {
    let sets_and_maps = in_force.sets.keys().chain(in_force.maps.keys());
    let mut newest: BTreeMap<Name, Epoch> = BTreeMap::new();
    for (name, epoch) in sets_and_maps
        .chain(in_force.chains.keys())
        .filter_map(Name::split_epoch)
    {
        let newest = newest.entry(name).or_insert(epoch);
        *newest = epoch.max(*newest);
    }
    let place = |name: &Name| name.at(newest.get(name).copied().unwrap_or(epoch));
    (loaded.placed(place), Name::fixed(DIGEST).at(epoch))
}

struct Found(Vec<Drift>);

impl Found {
    fn add(&mut self, object: impl Into<String>, kind: DriftKind) {
        self.0.push(Drift {
            object: object.into(),
            kind,
        });
    }

    fn names(&mut self, kind: &str, desired: &BTreeSet<&Name>, found: &BTreeSet<&Name>) {
        for name in desired.difference(found) {
            self.add(format!("{kind} {name}"), DriftKind::Missing);
        }
        for name in found.difference(desired) {
            self.add(format!("{kind} {name}"), DriftKind::Unexpected);
        }
    }

    fn different(&mut self, object: &str, desired: String, found: String) {
        if desired != found {
            self.add(object, DriftKind::Different { desired, found });
        }
    }

    fn set(&mut self, object: &str, set: &Set, listed: &ListedSet) {
        let flags = |interval| if interval { " with intervals" } else { "" };
        self.different(
            object,
            format!("the type {}{}", set.key, flags(set.interval)),
            format!(
                "the type {}{}",
                listed.types.join(" . "),
                flags(listed.interval)
            ),
        );
        for element in set.elements.difference(&listed.elements) {
            self.add(object, DriftKind::MissingElement(element.to_string()));
        }
        for element in listed.elements.difference(&set.elements) {
            self.add(object, DriftKind::UnexpectedElement(element.to_string()));
        }
        self.unread(object, &listed.unread);
    }

    fn map(&mut self, object: &str, map: &VerdictMap, listed: &ListedMap) {
        self.different(
            object,
            format!("the type {}", map.key()),
            format!("the type {}", listed.types.join(" . ")),
        );
        for (address, chain) in &map.entries {
            if listed.entries.get(address) != Some(chain) {
                let entry = Entry(*address, chain).to_string();
                self.add(object, DriftKind::MissingElement(entry));
            }
        }
        for (address, chain) in &listed.entries {
            if map.entries.get(address) != Some(chain) {
                let entry = Entry(*address, chain).to_string();
                self.add(object, DriftKind::UnexpectedElement(entry));
            }
        }
        self.unread(object, &listed.unread);
    }

    fn chain(&mut self, object: &str, chain: &Chain, listed: &ListedChain) {
        let place = |hook: Option<(&str, i32)>| match hook {
            Some((hook, priority)) => format!("the hook {hook} at priority {priority}"),
            None => "no hook".to_owned(),
        };
        self.different(
            object,
            place(chain.priority.map(|priority| (HOOK, priority))),
            place(
                listed
                    .hook
                    .as_ref()
                    .map(|(hook, priority)| (hook.as_str(), *priority)),
            ),
        );
        let policy = |drops| {
            if drops {
                "policy drop"
            } else {
                "policy accept"
            }
            .to_owned()
        };
        self.different(object, policy(false), policy(listed.drops));
        let rules = |count: usize| format!("{count} rules");
        self.different(object, rules(chain.rules.len()), rules(listed.rules.len()));
    }

    fn unread(&mut self, object: &str, elements: &[String]) {
        for element in elements {
            self.add(object, DriftKind::UnexpectedElement(element.clone()));
        }
    }
}
