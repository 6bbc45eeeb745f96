//! What a kernel makes of a transaction about one table.

use std::collections::BTreeMap;

use crate::element::{Element, overlap};
use crate::names::Name;
use crate::ruleset::{Chain, Ruleset, Set, VerdictMap};
use crate::statement::Statement;
use crate::transaction::{Command, Object, Target, Transaction};

/// The kernel refuses the 16th link: "Too many links", kernel 6.18.
const DEEPEST_JUMP: usize = 15;

/// The table after the transaction, or the kernel's complaint. Commands are carried out one by one;
/// what refers to what is checked at the end, when nothing of it is in force yet.
pub(crate) fn carry_out(
    table: Option<Ruleset>,
    transaction: &Transaction,
) -> Result<Option<Ruleset>, String> {
    let mut table = table;
    for command in &transaction.commands {
        match command {
            Command::Add(Object::Table) => {
                table.get_or_insert_with(|| Ruleset::new(transaction.table.clone()));
            }
            Command::Create(Object::Table) => {
                if table
                    .replace(Ruleset::new(transaction.table.clone()))
                    .is_some()
                {
                    return Err(format!("table {} exists", transaction.table));
                }
            }
            Command::Delete(Target::Table) => {
                table
                    .take()
                    .ok_or_else(|| no_such("table", &transaction.table))?;
            }
            command => {
                let table = table.as_mut();
                change(
                    table.ok_or_else(|| no_such("table", &transaction.table))?,
                    command,
                )?;
            }
        }
    }
    if let Some(table) = &table {
        check_references(table)?;
        check_overlaps(table)?;
        check_depth(table)?;
    }
    Ok(table)
}

/// Does to the table what the kernel did when it took the transaction.
pub(crate) fn follow(table: &mut Ruleset, transaction: &Transaction) -> Result<(), String> {
    transaction
        .commands
        .iter()
        .try_for_each(|command| change(table, command))
}

fn change(table: &mut Ruleset, command: &Command) -> Result<(), String> {
    match command {
        Command::Add(object) => make(table, object, IfThere::Keep),
        Command::Create(object) => make(table, object, IfThere::Refuse),
        Command::Delete(target) => delete(table, target),
        Command::FlushChain(name) => {
            found(&mut table.chains, "chain", name).map(|chain| chain.rules.clear())
        }
        Command::FlushSet(name) => {
            found(&mut table.sets, "set", name).map(|set| set.elements.clear())
        }
        Command::FlushMap(name) => {
            found(&mut table.maps, "map", name).map(|map| map.entries.clear())
        }
    }
}

/// What happens to an object that is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IfThere {
    Keep,
    Refuse,
}

fn make(table: &mut Ruleset, object: &Object, if_there: IfThere) -> Result<(), String> {
    match object {
        Object::Table => {}
        Object::Counter(name) => {
            if !table.counters.insert(name.clone()) && if_there == IfThere::Refuse {
                return Err(format!("counter {name} exists"));
            }
        }
        Object::Set {
            name,
            key,
            interval,
        } => {
            insert(
                &mut table.sets,
                "set",
                name,
                Set::new(*key, *interval),
                if_there,
            )?;
        }
        Object::Map { name, family } => {
            insert(
                &mut table.maps,
                "map",
                name,
                VerdictMap::new(*family),
                if_there,
            )?;
        }
        Object::Chain { name, priority } => {
            let chain = Chain {
                priority: *priority,
                ..Chain::default()
            };
            insert(&mut table.chains, "chain", name, chain, if_there)?;
        }
        Object::Rule { chain, rule } => {
            found(&mut table.chains, "chain", chain)?
                .rules
                .push(rule.clone());
        }
        Object::Elements {
            set: name,
            elements,
        } => {
            let set = found(&mut table.sets, "set", name)?;
            for element in elements {
                add_element(set, name, *element, if_there)?;
            }
        }
        Object::Entries { map: name, entries } => {
            let map = found(&mut table.maps, "map", name)?;
            for (address, chain) in entries {
                let former = map.entries.insert(*address, chain.clone());
                if former.is_some_and(|former| former != *chain || if_there == IfThere::Refuse) {
                    return Err(format!("map {name}: {address} exists"));
                }
            }
        }
    }
    Ok(())
}

/// Whether any rule counts with the counter: the kernel does not let it go then.
fn counts(table: &Ruleset, counter: &Name) -> bool {
    let rules = table.chains.values().flat_map(|chain| &chain.rules);
    let mut statements = rules.flat_map(|rule| &rule.statements);
    statements.any(|statement| matches!(statement, Statement::Counter(name) if name == counter))
}

fn delete(table: &mut Ruleset, target: &Target) -> Result<(), String> {
    match target {
        Target::Table => Ok(()),
        Target::Counter(name) if counts(table, name) => Err(format!("counter {name} is in use")),
        Target::Counter(name) if table.counters.remove(name) => Ok(()),
        Target::Counter(name) => Err(no_such("counter", name)),
        Target::Set(name) => remove(&mut table.sets, "set", name),
        Target::Map(name) => remove(&mut table.maps, "map", name),
        Target::Chain(name) => {
            let chain = found(&mut table.chains, "chain", name)?;
            if !chain.rules.is_empty() {
                return Err(format!("chain {name} has rules"));
            }
            remove(&mut table.chains, "chain", name)
        }
        Target::Elements {
            set: name,
            elements,
        } => {
            let set = found(&mut table.sets, "set", name)?;
            let missing = elements
                .iter()
                .find(|element| !set.elements.remove(*element));
            missing.map_or(Ok(()), |element| {
                Err(format!("set {name}: no such element {element}"))
            })
        }
        Target::Entries { map: name, entries } => {
            let map = found(&mut table.maps, "map", name)?;
            let missing = entries
                .keys()
                .find(|address| map.entries.remove(*address).is_none());
            missing.map_or(Ok(()), |address| {
                Err(format!("map {name}: no such element {address}"))
            })
        }
    }
}

fn add_element(
    set: &mut Set,
    name: &Name,
    element: Element,
    if_there: IfThere,
) -> Result<(), String> {
    if element.key() != set.key {
        return Err(format!(
            "set {name}: {element} is not of the type {}",
            set.key
        ));
    }
    if !set.interval && !element.is_exact() {
        return Err(format!("set {name}: {element} is a range"));
    }
    if !set.elements.insert(element) && if_there == IfThere::Refuse {
        return Err(format!("set {name}: {element} exists"));
    }
    Ok(())
}

fn check_references(table: &Ruleset) -> Result<(), String> {
    let check = |holder: String, kind: &str, name: &Name, is_there: bool| {
        let complaint = || format!("{holder} mentions {kind} {name}, which does not exist");
        if is_there { Ok(()) } else { Err(complaint()) }
    };
    for (map, contents) in &table.maps {
        for chain in contents.entries.values() {
            check(
                format!("map {map}"),
                "chain",
                chain,
                table.chains.contains_key(chain),
            )?;
        }
    }
    for (chain, contents) in &table.chains {
        for statement in contents.rules.iter().flat_map(|rule| &rule.statements) {
            let (kind, name, is_there) = match statement {
                Statement::InSet { set, .. } | Statement::CtMarkIn { set, .. } => {
                    ("set", set, table.sets.contains_key(set))
                }
                Statement::Vmap { map, .. } => ("map", map, table.maps.contains_key(map)),
                Statement::Jump(name) | Statement::Goto(name) => {
                    ("chain", name, table.chains.contains_key(name))
                }
                Statement::Counter(name) => ("counter", name, table.counters.contains(name)),
                _ => continue,
            };
            check(format!("chain {chain}"), kind, name, is_there)?;
        }
    }
    Ok(())
}

fn check_overlaps(table: &Ruleset) -> Result<(), String> {
    let overlapping = |(name, set): (&Name, &Set)| Some((name.clone(), overlap(&set.elements)?));
    match table
        .sets
        .iter()
        .filter(|(_, set)| set.interval)
        .find_map(overlapping)
    {
        Some((name, (a, b))) => Err(format!("set {name}: {a} and {b} overlap")),
        None => Ok(()),
    }
}

/// Like the kernel, counts `jump` and `goto`, in rules and in maps, from each base chain.
fn check_depth(table: &Ruleset) -> Result<(), String> {
    let mut heights = BTreeMap::new();
    for (name, chain) in &table.chains {
        if chain.priority.is_some() && height(table, name, &mut heights, 0) > DEEPEST_JUMP {
            return Err(format!("chain {name}: too many links"));
        }
    }
    Ok(())
}

/// The number of links below a chain; a loop counts as too many.
fn height(
    table: &Ruleset,
    chain: &Name,
    heights: &mut BTreeMap<Name, usize>,
    depth: usize,
) -> usize {
    if let Some(height) = heights.get(chain) {
        return *height;
    }
    if depth > DEEPEST_JUMP {
        return depth;
    }
    let rules = table
        .chains
        .get(chain)
        .map_or(&[][..], |chain| &chain.rules);
    let targets = rules
        .iter()
        .flat_map(|rule| &rule.statements)
        .flat_map(|statement| match statement {
            Statement::Jump(target) | Statement::Goto(target) => vec![target],
            Statement::Vmap { map, .. } => table
                .maps
                .get(map)
                .map(|map| map.entries.values().collect())
                .unwrap_or_default(),
            _ => vec![],
        });
    let mut highest = 0;
    for target in targets {
        highest = highest.max(1 + height(table, target, heights, depth + 1));
    }
    heights.insert(chain.clone(), highest);
    highest
}

fn insert<T>(
    objects: &mut BTreeMap<Name, T>,
    kind: &str,
    name: &Name,
    object: T,
    if_there: IfThere,
) -> Result<(), String> {
    if !objects.contains_key(name) {
        objects.insert(name.clone(), object);
    } else if if_there == IfThere::Refuse {
        return Err(format!("{kind} {name} exists"));
    }
    Ok(())
}

fn found<'a, T>(
    objects: &'a mut BTreeMap<Name, T>,
    kind: &str,
    name: &Name,
) -> Result<&'a mut T, String> {
    objects.get_mut(name).ok_or_else(|| no_such(kind, name))
}

fn remove<T>(objects: &mut BTreeMap<Name, T>, kind: &str, name: &Name) -> Result<(), String> {
    objects
        .remove(name)
        .map(|_| ())
        .ok_or_else(|| no_such(kind, name))
}

fn no_such(kind: &str, name: &Name) -> String {
    format!("no such {kind}: {name}")
}
