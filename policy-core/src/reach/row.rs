//! What one subject admits in one direction.

use super::table::{PortTable, PortsId};
use rustc_hash::FxHashMap;

/// For each spot, what passes from or to there. Most subjects speak of few spots, so only these are held.
#[derive(Debug)]
pub(super) struct Row {
    /// What passes everywhere else.
    everyone: PortsId,
    /// Where something else passes, sorted by the spot.
    some: Vec<(u32, PortsId)>,
}

impl Row {
    /// The same everywhere.
    pub(super) fn of_all(everyone: PortsId) -> Self {
        Self {
            everyone,
            some: Vec::new(),
        }
    }

    /// `everyone` passes everywhere, and `some` besides at these spots.
    pub(super) fn new(
        everyone: PortsId,
        some: FxHashMap<u32, PortsId>,
        table: &mut PortTable,
    ) -> Self {
        let mut some: Vec<(u32, PortsId)> = some.into_iter().collect();
        for (_, ports) in &mut some {
            *ports = table.union(*ports, everyone);
        }
        some.retain(|(_, ports)| *ports != everyone);
        some.sort_unstable();
        Self { everyone, some }
    }

    /// What passes at a spot.
    pub(super) fn at(&self, spot: u32) -> PortsId {
        match self.some.binary_search_by_key(&spot, |known| known.0) {
            Ok(position) => self.some[position].1,
            Err(_) => self.everyone,
        }
    }

    /// What passes where nothing else is said.
    pub(super) fn everyone(&self) -> PortsId {
        self.everyone
    }

    /// The spots where something else passes.
    pub(super) fn some(&self) -> impl Iterator<Item = u32> {
        self.some.iter().map(|(spot, _)| *spot)
    }
}
