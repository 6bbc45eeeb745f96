//! What the watches hand to the sync.

use std::time::Instant;

use policy_core::{Event, Problem};

use crate::kind::Kind;

/// What became of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What it means for the graph; `None` for an object that could not be read and is kept as it was.
    pub event: Option<Event>,
    /// Its version, or that of its deletion; 0 when nobody told.
    pub version: u64,
    /// Which object it is exactly.
    pub identity: Identity,
    /// What is wrong with it.
    pub trouble: Trouble,
}

/// Which object it is, as Kubernetes Events name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Identity {
    /// The namespace, empty for an object of the cluster.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The uid: another object of the same name has another one.
    pub uid: String,
    /// How often its spec was changed.
    pub generation: i64,
}

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// Parts of it were not understood; they are closed.
    Problems(Vec<Problem>),
    /// It could not be read at all.
    Unreadable(String),
}

/// Changes of one kind that come into force together.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The kind.
    pub kind: Kind,
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// Whether this is a complete view: what it does not name is gone, and it says so.
    pub is_complete: bool,
    /// When the last of it came from the API server.
    pub received: Instant,
    /// By which somebody learns that it is in force (`Shared::in_force`); 0 when nobody waits.
    pub ticket: u64,
}
