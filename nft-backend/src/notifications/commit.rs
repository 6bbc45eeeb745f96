//! What a transaction of anybody did to our table.

use std::collections::BTreeMap;
use std::fmt;

use crate::names::Name;

/// A transaction that the kernel carried out and that touched our table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The netlink port that sent it: as a rule the number of the process, in the process namespace that
    /// it lives in.
    pub port: u32,
    /// The process, where the kernel tells it (since 4.14).
    pub process: Option<Process>,
    /// What it did to our table.
    pub changes: Changes,
}

/// A process as the kernel names it in a notification.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// The number of the thread that sent the transaction, in the first process namespace of the
    /// machine: within a container it is not the number that the container knows.
    pub pid: u32,
    /// The name of the thread, of which the kernel keeps 15 bytes.
    pub name: String,
}

/// What was done to our table: how often for each object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Whether other tables went in the same transaction, as `nft flush ruleset` makes them go.
    pub other_tables_went: bool,
    pub(crate) counts: BTreeMap<Change, usize>,
}

/// One kind of change of one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What kind of object.
    pub object: Object,
    /// Its name; for a rule that of its chain, for an element that of its set or map.
    pub name: Name,
    /// What happened to it.
    pub way: Way,
}

/// The kinds of objects of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// The table itself.
    Table,
    /// A chain.
    Chain,
    /// A rule.
    Rule,
    /// A set or a map.
    Set,
    /// An element of a set or a map.
    Element,
    /// A counter or another object with a name.
    Stateful,
    /// A flowtable.
    Flowtable,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// It was made, or made otherwise.
    Added,
    /// It went.
    Deleted,
}

impl Changes {
    /// Whether nothing of ours was touched.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Whether elements alone came or went; rules, chains, sets and the table stayed as they were.
    pub fn is_of_elements(&self) -> bool {
        let mut changes = self.counts.keys();
        changes.all(|change| change.object == Object::Element)
    }

    pub(crate) fn add(&mut self, change: Change) {
        *self.counts.entry(change).or_default() += 1;
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some(Process { pid, name }) => write!(f, "process {pid} ({name}): {}", self.changes),
            None => write!(
                f,
                "a process with netlink port {}: {}",
                self.port, self.changes
            ),
        }
    }
}

/// When the table goes, so does all that is in it, which need not be told.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_table = |(change, _): &(&Change, &usize)| change.object == Object::Table;
        let table_went = |(change, _): (&Change, &usize)| {
            change.object == Object::Table && change.way == Way::Deleted
        };
        let only_table = self.counts.iter().any(table_went);
        let shown = self
            .counts
            .iter()
            .filter(|entry| !only_table || is_table(entry));
        let mut separator = "";
        for (change, count) in shown {
            f.write_str(separator)?;
            write_change(f, change, *count)?;
            separator = ", ";
        }
        if self.other_tables_went {
            f.write_str(", with other tables")?;
        }
        Ok(())
    }
}

fn write_change(f: &mut fmt::Formatter<'_>, change: &Change, count: usize) -> fmt::Result {
    let Change { object, name, way } = change;
    let way = match way {
        Way::Added => "added",
        Way::Deleted => "deleted",
    };
    let plural = if count == 1 { "" } else { "s" };
    match object {
        Object::Table => write!(f, "table {name} {way}"),
        Object::Chain => write!(f, "chain {name} {way}"),
        Object::Set => write!(f, "set {name} {way}"),
        Object::Stateful => write!(f, "object {name} {way}"),
        Object::Flowtable => write!(f, "flowtable {name} {way}"),
        Object::Rule => write!(f, "{count} rule{plural} of {name} {way}"),
        Object::Element => write!(f, "{count} element{plural} of {name} {way}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_names_its_process_or_where_that_is_not_told_its_port() {
        let mut commit = Commit {
            port: 4_026_531_840,
            process: Some(Process {
                pid: 7,
                name: "nft".to_owned(),
            }),
            changes: Changes::default(),
        };
        commit.changes.add(Change {
            object: Object::Chain,
            name: Name::fixed("stranger"),
            way: Way::Added,
        });
        let told = "chain stranger added";
        assert_eq!(commit.to_string(), format!("process 7 (nft): {told}"));
        commit.process = None;
        let port = "a process with netlink port 4026531840";
        assert_eq!(commit.to_string(), format!("{port}: {told}"));
    }
}
