//! Port sets by number.

use crate::intern::Interner;
use crate::port_set::PortSet;
use rustc_hash::FxHashMap;

/// The number of a port set in a [`PortTable`].
pub type PortsId = u32;

/// Port sets by number; what is computed of two of them is computed once.
#[derive(Debug)]
pub struct PortTable {
    sets: Interner<PortSet>,
    unions: FxHashMap<(PortsId, PortsId), PortsId>,
    intersections: FxHashMap<(PortsId, PortsId), PortsId>,
    differences: FxHashMap<(PortsId, PortsId), PortsId>,
}

impl PortTable {
    /// The number of the empty set.
    pub const NONE: PortsId = 0;
    /// The number of the set of everything.
    pub const ALL: PortsId = 1;

    /// A table of the empty set and of everything.
    #[must_use]
    pub fn new() -> Self {
        let mut sets = Interner::default();
        sets.intern(PortSet::empty());
        sets.intern(PortSet::all());
        Self {
            sets,
            unions: FxHashMap::default(),
            intersections: FxHashMap::default(),
            differences: FxHashMap::default(),
        }
    }

    /// The number of a set.
    pub fn number(&mut self, ports: &PortSet) -> PortsId {
        self.sets.intern(ports.clone())
    }

    /// The set with this number.
    pub fn ports(&self, number: PortsId) -> &PortSet {
        self.sets.value(number)
    }

    /// What either set admits.
    pub fn union(&mut self, one: PortsId, other: PortsId) -> PortsId {
        match (one.min(other), one.max(other)) {
            (Self::NONE, other) => other,
            (Self::ALL, _) => Self::ALL,
            (one, other) if one == other => one,
            key => remembered(&mut self.unions, &mut self.sets, key, PortSet::union),
        }
    }

    /// What both sets admit.
    pub fn intersection(&mut self, one: PortsId, other: PortsId) -> PortsId {
        match (one.min(other), one.max(other)) {
            (Self::NONE, _) => Self::NONE,
            (Self::ALL, other) => other,
            (one, other) if one == other => one,
            key => remembered(
                &mut self.intersections,
                &mut self.sets,
                key,
                PortSet::intersection,
            ),
        }
    }

    /// What the first set admits and the second does not.
    pub fn difference(&mut self, one: PortsId, other: PortsId) -> PortsId {
        match (one, other) {
            (Self::NONE, _) | (_, Self::ALL) => Self::NONE,
            (one, Self::NONE) => one,
            (one, other) if one == other => Self::NONE,
            key => remembered(
                &mut self.differences,
                &mut self.sets,
                key,
                PortSet::difference,
            ),
        }
    }
}

/// The answer for two sets, computed when it is first asked for.
fn remembered(
    known: &mut FxHashMap<(PortsId, PortsId), PortsId>,
    sets: &mut Interner<PortSet>,
    key: (PortsId, PortsId),
    compute: fn(&PortSet, &PortSet) -> PortSet,
) -> PortsId {
    if let Some(&known) = known.get(&key) {
        return known;
    }
    let set = compute(sets.value(key.0), sets.value(key.1));
    let number = sets.intern(set);
    known.insert(key, number);
    number
}

impl Default for PortTable {
    fn default() -> Self {
        Self::new()
    }
}
