//! A transaction: commands that the kernel carries out together or not at all.
//!
//! A command is a verb and an object, as in nft. All commands of a transaction concern our one table, so there
//! is no way to write one that touches another's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::element::{Element, Key};
use crate::names::Name;
use crate::ruleset::Entry;
use crate::statement::Rule;
use crate::value::Family;

/// A list of commands about one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The table.
    pub table: Name,
    /// The commands, in the order in which they are carried out.
    pub commands: Vec<Command>,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Makes the object; one that is there already stays as it is.
    Add(Object),
    /// Makes the object; it is an error when it is there already.
    Create(Object),
    /// Removes the object; it is an error when it is not there.
    Delete(Target),
    /// Removes all rules of a chain.
    FlushChain(Name),
    /// Removes all elements of a set.
    FlushSet(Name),
    /// Removes all entries of a map.
    FlushMap(Name),
}

/// What a command makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// The table itself.
    Table,
    /// A named counter.
    Counter(Name),
    /// A set, without its elements: nft 1.0.6 forgets elements that come with a `create set`.
    Set {
        /// The set.
        name: Name,
        /// What it is keyed by.
        key: Key,
        /// Whether elements may be ranges.
        interval: bool,
    },
    /// Elements of a set.
    Elements {
        /// The set.
        set: Name,
        /// The elements.
        elements: BTreeSet<Element>,
    },
    /// A verdict map, without its entries.
    Map {
        /// The map.
        name: Name,
        /// The family of its addresses.
        family: Family,
    },
    /// Entries of a verdict map.
    Entries {
        /// The map.
        map: Name,
        /// The chain that each address goes to.
        entries: BTreeMap<IpAddr, Name>,
    },
    /// A chain, without its rules.
    Chain {
        /// The chain.
        name: Name,
        /// For a base chain, its priority at the forward hook.
        priority: Option<i32>,
    },
    /// A rule at the end of a chain.
    Rule {
        /// The chain.
        chain: Name,
        /// The rule.
        rule: Rule,
    },
}

/// What a command deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The table and all that is in it.
    Table,
    /// A named counter.
    Counter(Name),
    /// A set.
    Set(Name),
    /// A verdict map.
    Map(Name),
    /// A chain.
    Chain(Name),
    /// Elements of a set.
    Elements {
        /// The set.
        set: Name,
        /// The elements.
        elements: BTreeSet<Element>,
    },
    /// Entries of a verdict map.
    Entries {
        /// The map.
        map: Name,
        /// The chain that each address goes to.
        entries: BTreeMap<IpAddr, Name>,
    },
}

impl Transaction {
    /// A transaction that does nothing yet.
    pub fn new(table: Name) -> Self {
        Self {
            table,
            commands: Vec::new(),
        }
    }

    /// Adds `add OBJECT`.
    pub fn add(&mut self, object: Object) {
        self.commands.push(Command::Add(object));
    }

    /// Adds `create OBJECT`.
    pub fn create(&mut self, object: Object) {
        self.commands.push(Command::Create(object));
    }

    /// Adds `delete OBJECT`.
    pub fn delete(&mut self, target: Target) {
        self.commands.push(Command::Delete(target));
    }

    /// Adds `flush chain CHAIN`.
    pub fn flush_chain(&mut self, chain: Name) {
        self.commands.push(Command::FlushChain(chain));
    }

    /// How many elements and entries of maps it makes or deletes by name.
    pub fn elements(&self) -> usize {
        self.commands.iter().map(Command::elements).sum()
    }

    /// Whether it deletes maps, which lead packets to chains.
    pub fn deletes_maps(&self) -> bool {
        let is_map = |command: &Command| matches!(command, Command::Delete(Target::Map(_)));
        self.commands.iter().any(is_map)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }
}

impl Command {
    /// The command as `nft -f` reads it, but with their number in place of several elements.
    pub(crate) fn summary(&self, table: &Name) -> String {
        let (verb, set) = match self {
            Self::Add(Object::Elements { set, .. } | Object::Entries { map: set, .. }) => {
                ("add", set)
            }
            Self::Create(Object::Elements { set, .. } | Object::Entries { map: set, .. }) => {
                ("create", set)
            }
            Self::Delete(Target::Elements { set, .. } | Target::Entries { map: set, .. }) => {
                ("delete", set)
            }
            _ => ("", table),
        };
        match self.elements() {
            0 | 1 => Text(table, self).to_string(),
            count => format!("{verb} {count} elements inet {table} {set}"),
        }
    }
}

/// A command in a table.
struct Text<'a>(&'a Name, &'a Command);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(table, command) = self;
        match command {
            Command::Add(object) => {
                f.write_str("add ")?;
                write_object(f, table, object)
            }
            Command::Create(object) => {
                f.write_str("create ")?;
                write_object(f, table, object)
            }
            Command::Delete(target) => {
                f.write_str("delete ")?;
                write_target(f, table, target)
            }
            Command::FlushChain(name) => write!(f, "flush chain inet {table} {name}"),
            Command::FlushSet(name) => write!(f, "flush set inet {table} {name}"),
            Command::FlushMap(name) => write!(f, "flush map inet {table} {name}"),
        }
    }
}

/// One command a line, as `nft -f` reads it.
impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.commands
            .iter()
            .try_for_each(|command| writeln!(f, "{}", Text(&self.table, command)))
    }
}

fn write_object(f: &mut fmt::Formatter<'_>, table: &Name, object: &Object) -> fmt::Result {
    match object {
        Object::Table => write!(f, "table inet {table}"),
        Object::Counter(name) => write!(f, "counter inet {table} {name}"),
        Object::Set {
            name,
            key,
            interval,
        } => {
            let flags = if *interval { " flags interval;" } else { "" };
            write!(f, "set inet {table} {name} {{ type {key};{flags}")?;
            if let Some(room) = key.room() {
                write!(f, " size {room};")?;
            }
            f.write_str(" }")
        }
        Object::Elements { set, elements } => write_elements(f, table, set, elements),
        Object::Map { name, family } => {
            let key = Key::Address(*family);
            write!(f, "map inet {table} {name} {{ type {key} : verdict; }}")
        }
        Object::Entries { map, entries } => write_entries(f, table, map, entries),
        Object::Chain {
            name,
            priority: None,
        } => write!(f, "chain inet {table} {name}"),
        Object::Chain {
            name,
            priority: Some(priority),
        } => write!(
            f,
            "chain inet {table} {name} \
             {{ type filter hook forward priority {priority}; policy accept; }}"
        ),
        Object::Rule { chain, rule } => write!(f, "rule inet {table} {chain} {rule}"),
    }
}

fn write_target(f: &mut fmt::Formatter<'_>, table: &Name, target: &Target) -> fmt::Result {
    match target {
        Target::Table => write!(f, "table inet {table}"),
        Target::Counter(name) => write!(f, "counter inet {table} {name}"),
        Target::Set(name) => write!(f, "set inet {table} {name}"),
        Target::Map(name) => write!(f, "map inet {table} {name}"),
        Target::Chain(name) => write!(f, "chain inet {table} {name}"),
        Target::Elements { set, elements } => write_elements(f, table, set, elements),
        Target::Entries { map, entries } => write_entries(f, table, map, entries),
    }
}

fn write_elements(
    f: &mut fmt::Formatter<'_>,
    table: &Name,
    set: &Name,
    elements: &BTreeSet<Element>,
) -> fmt::Result {
    write!(f, "element inet {table} {set} {{ ")?;
    list(f, elements)
}

fn write_entries(
    f: &mut fmt::Formatter<'_>,
    table: &Name,
    map: &Name,
    entries: &BTreeMap<IpAddr, Name>,
) -> fmt::Result {
    write!(f, "element inet {table} {map} {{ ")?;
    list(
        f,
        entries
            .iter()
            .map(|(address, chain)| Entry(*address, chain)),
    )
}

fn list(f: &mut fmt::Formatter<'_>, items: impl IntoIterator<Item: fmt::Display>) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        write!(f, "{separator}{item}")?;
    }
    f.write_str(" }")
}
