//! Transactions as the document that `nft -j -f -` reads, written straight into one buffer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};

use crate::element::{Element, Key};
use crate::in_force::HOOK;
use crate::names::Name;
use crate::statement_json::to_nft;
use crate::transaction::{Command, Object, Target, Transaction};

const FAMILY: &str = "inet";
/// About what an element takes as JSON, with its punctuation.
const BYTES_PER_ELEMENT: usize = 48;
const BYTES_PER_COMMAND: usize = 400;

impl Transaction {
    /// The JSON document.
    ///
    /// # Panics
    /// Never: all keys are strings, and a vector takes every write.
    pub fn to_json(&self) -> Vec<u8> {
        let elements: usize = self.commands.iter().map(Command::elements).sum();
        let size = elements * BYTES_PER_ELEMENT + self.commands.len() * BYTES_PER_COMMAND;
        let mut buffer = Vec::with_capacity(size);
        let document = Document {
            nftables: Commands(self),
        };
        serde_json::to_writer(&mut buffer, &document)
            .expect("a transaction has string keys only, and a vector takes every write");
        buffer
    }
}

impl Command {
    /// How many elements the command carries.
    pub(crate) fn elements(&self) -> usize {
        match self {
            Self::Add(Object::Elements { elements, .. })
            | Self::Create(Object::Elements { elements, .. })
            | Self::Delete(Target::Elements { elements, .. }) => elements.len(),
            Self::Add(Object::Entries { entries, .. })
            | Self::Create(Object::Entries { entries, .. })
            | Self::Delete(Target::Entries { entries, .. }) => entries.len(),
            _ => 0,
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    nftables: Commands<'a>,
}

struct Commands<'a>(&'a Transaction);

impl Serialize for Commands<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(transaction) = self;
        let mut sequence = serializer.serialize_seq(Some(transaction.commands.len()))?;
        for command in &transaction.commands {
            sequence.serialize_element(&InTable {
                table: &transaction.table,
                command,
            })?;
        }
        sequence.end()
    }
}

/// `{"add": {"set": {...}}}`
struct InTable<'a> {
    table: &'a Name,
    command: &'a Command,
}

impl Serialize for InTable<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let table = self.table.as_str();
        let (verb, object) = match self.command {
            Command::Add(object) => ("add", made(table, object)),
            Command::Create(object) => ("create", made(table, object)),
            Command::Delete(target) => ("delete", deleted(table, target)),
            Command::FlushChain(name) => ("flush", Json::Chain(chain_json(table, name, None))),
            Command::FlushSet(name) => ("flush", Json::Set(set_json(table, name))),
            Command::FlushMap(name) => ("flush", Json::Map(set_json(table, name))),
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(verb, &object)?;
        map.end()
    }
}

/// The members of nft's objects; each variant is its own object.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Json<'a> {
    Table(TableJson<'a>),
    Counter(CounterJson<'a>),
    Set(SetJson<'a>),
    Map(SetJson<'a>),
    Element(ElementJson<'a>),
    Chain(ChainJson<'a>),
    Rule(RuleJson<'a>),
}

#[derive(Serialize)]
struct TableJson<'a> {
    family: &'static str,
    name: &'a str,
}

#[derive(Serialize)]
struct CounterJson<'a> {
    family: &'static str,
    table: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct SetJson<'a> {
    family: &'static str,
    table: &'a str,
    name: &'a str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    types: Option<Types>,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    flags: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u32>,
}

/// nft takes one type as a string and several as a list.
#[derive(Serialize)]
#[serde(untagged)]
enum Types {
    One(&'static str),
    Several(&'static [&'static str]),
}

#[derive(Serialize)]
struct ElementJson<'a> {
    family: &'static str,
    table: &'a str,
    name: &'a str,
    elem: Elem<'a>,
}

enum Elem<'a> {
    Elements(&'a BTreeSet<Element>),
    Entries(&'a BTreeMap<IpAddr, Name>),
}

#[derive(Serialize)]
struct ChainJson<'a> {
    family: &'static str,
    table: &'a str,
    name: &'a str,
    #[serde(flatten)]
    hook: Option<HookJson>,
}

#[derive(Serialize)]
struct HookJson {
    #[serde(rename = "type")]
    kind: &'static str,
    hook: &'static str,
    prio: i32,
    policy: &'static str,
}

#[derive(Serialize)]
struct RuleJson<'a> {
    family: &'static str,
    table: &'a str,
    chain: &'a str,
    expr: Vec<nftables::stmt::Statement<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
}

#[derive(Serialize)]
struct Verdict<'a> {
    goto: ChainTarget<'a>,
}

#[derive(Serialize)]
struct ChainTarget<'a> {
    target: &'a str,
}

impl Serialize for Elem<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Elements(elements) => serializer.collect_seq(elements.iter()),
            Self::Entries(entries) => {
                let pair = |(address, chain)| (address, goto(chain));
                serializer.collect_seq(entries.iter().map(pair))
            }
        }
    }
}

fn made<'a>(table: &'a str, object: &'a Object) -> Json<'a> {
    match object {
        Object::Table => Json::Table(TableJson {
            family: FAMILY,
            name: table,
        }),
        Object::Counter(name) => Json::Counter(counter_json(table, name)),
        Object::Set {
            name,
            key,
            interval,
        } => {
            let flags: &[&str] = if *interval { &["interval"] } else { &[] };
            Json::Set(SetJson {
                types: Some(types(*key)),
                flags,
                size: key.room(),
                ..set_json(table, name)
            })
        }
        Object::Map { name, family } => {
            let types = Some(types(Key::Address(*family)));
            Json::Map(SetJson {
                types,
                map: Some("verdict"),
                ..set_json(table, name)
            })
        }
        Object::Elements { set, elements } => {
            Json::Element(element_json(table, set, Elem::Elements(elements)))
        }
        Object::Entries { map, entries } => {
            Json::Element(element_json(table, map, Elem::Entries(entries)))
        }
        Object::Chain { name, priority } => Json::Chain(chain_json(table, name, *priority)),
        Object::Rule { chain, rule } => Json::Rule(RuleJson {
            family: FAMILY,
            table,
            chain: chain.as_str(),
            expr: rule.statements.iter().map(to_nft).collect(),
            comment: rule.comment.as_deref(),
        }),
    }
}

fn deleted<'a>(table: &'a str, target: &'a Target) -> Json<'a> {
    match target {
        Target::Table => Json::Table(TableJson {
            family: FAMILY,
            name: table,
        }),
        Target::Counter(name) => Json::Counter(counter_json(table, name)),
        Target::Set(name) => Json::Set(set_json(table, name)),
        Target::Map(name) => Json::Map(set_json(table, name)),
        Target::Chain(name) => Json::Chain(chain_json(table, name, None)),
        Target::Elements { set, elements } => {
            Json::Element(element_json(table, set, Elem::Elements(elements)))
        }
        Target::Entries { map, entries } => {
            Json::Element(element_json(table, map, Elem::Entries(entries)))
        }
    }
}

fn counter_json<'a>(table: &'a str, name: &'a Name) -> CounterJson<'a> {
    CounterJson {
        family: FAMILY,
        table,
        name: name.as_str(),
    }
}

/// A set or map by name alone.
fn set_json<'a>(table: &'a str, name: &'a Name) -> SetJson<'a> {
    let name = name.as_str();
    SetJson {
        family: FAMILY,
        table,
        name,
        types: None,
        map: None,
        flags: &[],
        size: None,
    }
}

fn element_json<'a>(table: &'a str, name: &'a Name, elem: Elem<'a>) -> ElementJson<'a> {
    ElementJson {
        family: FAMILY,
        table,
        name: name.as_str(),
        elem,
    }
}

fn chain_json<'a>(table: &'a str, name: &'a Name, priority: Option<i32>) -> ChainJson<'a> {
    let (kind, hook, policy) = ("filter", HOOK, "accept");
    let hook = priority.map(|prio| HookJson {
        kind,
        hook,
        prio,
        policy,
    });
    ChainJson {
        family: FAMILY,
        table,
        name: name.as_str(),
        hook,
    }
}

fn goto(chain: &Name) -> Verdict<'_> {
    Verdict {
        goto: ChainTarget {
            target: chain.as_str(),
        },
    }
}

fn types(key: Key) -> Types {
    match key.types() {
        [one] => Types::One(one),
        several => Types::Several(several),
    }
}
