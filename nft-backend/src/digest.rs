//! A number for the contents of a table, which follows a change at the cost of the change.
//!
//! It is the sum of a hash of every line: of each element with its set, each entry with its map, each chain with all of
//! its rules in their order. So what comes is added and what goes is subtracted, in any order. The number is compared
//! with one that a program wrote before, never trusted for a verdict.

use std::fmt::{self, Display, Write};
use std::ops::{AddAssign, SubAssign};

use crate::element::Element;
use crate::hash::Fnv128;
use crate::names::Name;
use crate::ruleset::{Chain, Entry, Set};
use crate::statement::Rule;

/// A number that differs when what the kernel keeps of two rulesets differs, except by accident: 128 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub u128);

impl Digest {
    /// The digest of one line about an object.
    pub(crate) fn of(kind: &str, name: &Name, line: &impl Display) -> Self {
        let mut hasher = Fnv128::new();
        // The hasher takes every text, so writing to it cannot fail.
        let _ = write!(hasher, "{kind} {name} {line}");
        Self(hasher.hash())
    }

    pub(crate) fn add(&mut self, kind: &str, name: &Name, line: &impl Display) {
        *self += Self::of(kind, name, line);
    }

    /// The digest of a named counter.
    pub(crate) fn of_counter(name: &Name) -> Self {
        Self::of("counter", name, &"")
    }

    /// Adds a set with its elements.
    pub(crate) fn add_set(&mut self, name: &Name, set: &Set) {
        *self += Self::of_declaration(name, set);
        *self += Self::of_elements(name, &set.elements);
    }

    /// Adds a chain.
    pub(crate) fn add_chain(&mut self, name: &Name, chain: &Chain) {
        *self += Self::of_chain(name, chain);
    }

    /// The digest of a set without its elements.
    pub(crate) fn of_declaration(name: &Name, set: &Set) -> Self {
        let kind = if set.interval { "intervals" } else { "set" };
        Self::of(kind, name, &set.key)
    }

    /// The digest of elements of a set.
    pub(crate) fn of_elements<'e>(
        name: &Name,
        elements: impl IntoIterator<Item = &'e Element>,
    ) -> Self {
        let mut stem = Fnv128::new();
        let _ = write!(stem, "element {name} ");
        let mut digest = Self::default();
        for element in elements {
            let mut hasher = stem.clone();
            let _ = write!(hasher, "{element}");
            digest += Self(hasher.hash());
        }
        digest
    }

    /// The digest of an entry of a map.
    pub(crate) fn of_entry(map: &Name, entry: &Entry<'_>) -> Self {
        Self::of("entry", map, entry)
    }

    /// The digest of a chain with its rules.
    pub(crate) fn of_chain(name: &Name, chain: &Chain) -> Self {
        Self::of("chain", name, &Rules(chain.priority, &chain.rules))
    }
}

/// The rules of a chain in their order, a line each.
struct Rules<'a>(Option<i32>, &'a [Rule]);

impl Display for Rules<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(priority) = self.0 {
            writeln!(f, "priority {priority}")?;
        }
        self.1.iter().try_for_each(|rule| writeln!(f, "{rule}"))
    }
}

impl AddAssign for Digest {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl SubAssign for Digest {
    fn sub_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_sub(other.0);
    }
}

impl Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_and_subtracted_again_leaves_no_trace() {
        let line = |text: &str| Digest::of("set", &Name::fixed("i_web"), &text);
        let (one, other) = (line("one"), line("other"));
        let mut digest = one;
        digest += other;
        digest -= one;
        assert_eq!(digest, other);
        assert_ne!(one, other);
    }

    #[test]
    fn the_object_belongs_to_the_line() {
        let of = |kind, name: &str| Digest::of(kind, &Name::fixed(name), &"10.0.0.1");
        assert_ne!(of("element", "i_web"), of("element", "i_db"));
        assert_ne!(of("element", "i_web"), of("entry", "i_web"));
    }
}
