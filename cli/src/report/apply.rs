//! What a load changed, or would change.

use std::fmt::Write;

use nft_backend::load::Load;
use nft_backend::transaction::{Command, Object, Target, Transaction};

/// The load for people. `is_check` says that nothing was done.
pub fn changes(node: &str, load: &Load, is_check: bool) -> String {
    let generation = load
        .generation
        .map(|generation| format!(", generation {generation}"))
        .unwrap_or_default();
    let (come, create, switch, delete) = if is_check {
        let come = "would come into force (nothing was changed)";
        (come, "would create", "would switch", "would delete")
    } else {
        ("is in force", "created", "switched", "deleted")
    };
    let table = &load.create.table;
    let mut text = format!("node {node}: table inet {table} {come}\n");
    let _ = writeln!(text, "{create}: {}", created(load));
    let _ = writeln!(
        text,
        "{switch}: the base chain, to epoch {}{generation}",
        load.epoch
    );
    let _ = writeln!(text, "{delete}: {}", deleted(&load.delete));
    text
}

fn created(load: &Load) -> String {
    let mut counts = Counts::default();
    for command in load.create.commands.iter().chain(&load.switch.commands) {
        if let Command::Add(object) | Command::Create(object) = command {
            match object {
                Object::Table | Object::Counter(_) => {}
                Object::Set { .. } => counts.sets += 1,
                Object::Elements { elements, .. } => counts.elements += elements.len(),
                Object::Map { .. } => counts.maps += 1,
                Object::Entries { entries, .. } => counts.elements += entries.len(),
                Object::Chain { .. } => counts.chains += 1,
                Object::Rule { .. } => counts.rules += 1,
            }
        }
    }
    counts.text()
}

fn deleted(transaction: &Transaction) -> String {
    let mut counts = Counts::default();
    for command in &transaction.commands {
        if let Command::Delete(target) = command {
            match target {
                Target::Table | Target::Counter(_) => {}
                Target::Set(_) => counts.sets += 1,
                Target::Map(_) => counts.maps += 1,
                Target::Chain(_) => counts.chains += 1,
                Target::Elements { elements, .. } => counts.elements += elements.len(),
                Target::Entries { entries, .. } => counts.elements += entries.len(),
            }
        }
    }
    counts.text()
}

#[derive(Default)]
struct Counts {
    chains: usize,
    rules: usize,
    sets: usize,
    maps: usize,
    elements: usize,
}

impl Counts {
    /// `3 chains, 1 set`
    fn text(&self) -> String {
        let counts = [
            (self.chains, "chain"),
            (self.rules, "rule"),
            (self.sets, "set"),
            (self.maps, "map"),
            (self.elements, "element"),
        ];
        let named = counts.into_iter().filter(|(count, _)| *count > 0);
        let named = named.map(|(count, name)| super::counted(count, name));
        let text = named.collect::<Vec<_>>().join(", ");
        if text.is_empty() {
            "nothing".to_owned()
        } else {
            text
        }
    }
}
