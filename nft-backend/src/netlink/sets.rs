//! What is known of the kernel's sets: how the elements of each are written depends on how it was made.
//!
//! A range written for the wrong kind of set could admit more than it says: a tree of points takes a single address
//! for the beginning of a range without an end. So what is known is tied to the kernel's generation, a number that
//! each transaction of anybody moves on by one. A batch names the generation that it was written for; the kernel
//! refuses it when that is not the present one, and then all is asked for anew.

use std::collections::{BTreeMap, BTreeSet};

use super::set::Shape;
use crate::names::Name;
use crate::transaction::{Command, Object, Target, Transaction};

/// The sets of one table, at one generation of the kernel.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    generation: Option<u32>,
    table: Option<Name>,
    shapes: BTreeMap<Name, Shape>,
}

impl Sets {
    /// The generation at which all this holds; `None` when nothing is known.
    pub(crate) const fn generation(&self) -> Option<u32> {
        self.generation
    }

    /// Begins with nothing known but the generation.
    pub(crate) fn begin(&mut self, table: &Name, generation: u32) {
        *self = Self {
            generation: Some(generation),
            table: Some(table.clone()),
            shapes: BTreeMap::new(),
        };
    }

    /// Whether it is this table's sets that are known.
    pub(crate) fn is_about(&self, table: &Name) -> bool {
        self.generation.is_some() && self.table.as_ref() == Some(table)
    }

    /// Adds what the kernel told of a set.
    pub(crate) fn learn(&mut self, set: Name, shape: Shape) {
        self.shapes.insert(set, shape);
    }

    /// Forgets everything.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Follows a transaction that the kernel carried out at the generation that is known.
    ///
    /// One that changed nothing, such as elements that were there already, does not move the generation on. Where that
    /// cannot be told, somebody else's could be taken for it, so all is forgotten.
    pub(crate) fn follow(&mut self, transaction: &Transaction) {
        if !transaction.commands.iter().any(moves_on) {
            return self.forget();
        }
        for command in &transaction.commands {
            match change(command) {
                Some(Change::Set(name, Some(shape))) => {
                    self.shapes.insert(name.clone(), shape);
                }
                Some(Change::Set(name, None)) => {
                    self.shapes.remove(name);
                }
                Some(Change::NoTable) => self.shapes.clear(),
                None => {}
            }
        }
        // 0 is no generation.
        self.generation = self
            .generation
            .map(|generation| generation.checked_add(1).unwrap_or(1));
    }

    /// The sets as they become in the course of a transaction.
    pub(crate) fn view(&self, table: &Name) -> View<'_> {
        View {
            sets: self.is_about(table).then_some(self),
            changed: BTreeMap::new(),
        }
    }

    /// The sets that the transaction's elements are for and that nothing is known of.
    pub(crate) fn unknown<'a>(&self, transaction: &'a Transaction) -> BTreeSet<&'a Name> {
        let mut view = View {
            sets: self.is_about(&transaction.table).then_some(self),
            changed: BTreeMap::new(),
        };
        let mut unknown = BTreeSet::new();
        for command in &transaction.commands {
            if let Some(set) = of_elements(command)
                && view.shape(set).is_none()
                && !view.changed.contains_key(set)
            {
                unknown.insert(set);
            }
            view.follow(command);
        }
        unknown
    }
}

/// The sets of a table in the course of a transaction.
pub(crate) struct View<'a> {
    sets: Option<&'a Sets>,
    /// What the commands so far made, and what they deleted.
    changed: BTreeMap<&'a Name, Option<Shape>>,
}

impl<'a> View<'a> {
    /// How a set was made, if that is known.
    pub(crate) fn shape(&self, set: &Name) -> Option<Shape> {
        match self.changed.get(set) {
            Some(changed) => *changed,
            None => self.sets?.shapes.get(set).copied(),
        }
    }

    /// Follows a command.
    pub(crate) fn follow(&mut self, command: &'a Command) {
        match change(command) {
            Some(Change::Set(name, shape)) => {
                self.changed.insert(name, shape);
            }
            Some(Change::NoTable) => {
                self.sets = None;
                self.changed.clear();
            }
            None => {}
        }
    }
}

/// What a command does to the sets.
enum Change<'a> {
    /// It makes or deletes one.
    Set(&'a Name, Option<Shape>),
    /// It deletes all of them.
    NoTable,
}

fn change(command: &Command) -> Option<Change<'_>> {
    match command {
        Command::Add(object) | Command::Create(object) => match object {
            Object::Set {
                name,
                key,
                interval,
            } => Some(Change::Set(name, Some(Shape::set(*key, *interval)))),
            Object::Map { name, family } => Some(Change::Set(name, Some(Shape::map(*family)))),
            _ => None,
        },
        Command::Delete(Target::Set(name) | Target::Map(name)) => Some(Change::Set(name, None)),
        Command::Delete(Target::Table) => Some(Change::NoTable),
        _ => None,
    }
}

/// Whether the command changes something in any case, once the kernel has carried it out.
fn moves_on(command: &Command) -> bool {
    match command {
        Command::Add(Object::Rule { .. }) => true,
        Command::Create(_) | Command::Delete(_) => {
            of_elements(command).is_none() || command.elements() > 0
        }
        _ => false,
    }
}

fn of_elements(command: &Command) -> Option<&Name> {
    match command {
        Command::Add(object) | Command::Create(object) => match object {
            Object::Elements { set, .. } => Some(set),
            Object::Entries { map, .. } => Some(map),
            _ => None,
        },
        Command::Delete(Target::Elements { set, .. }) => Some(set),
        Command::Delete(Target::Entries { map, .. }) => Some(map),
        _ => None,
    }
}
