//! What changed between every two kinds of pods.

use policy_core::reach::{PortTable, PortsId};

use crate::kinds::Kinds;

/// From one kind to another, what changed.
pub(super) type Cell = (usize, usize, PortsId);

/// What is gained and what is lost, from each kind to each. What did not exist cannot have been lost.
pub(super) fn changed(kinds: &Kinds<'_>, table: &mut PortTable) -> (Vec<Cell>, Vec<Cell>) {
    let (mut gained, mut lost) = (Vec::new(), Vec::new());
    for (from, targets) in kinds.changes() {
        for to in targets {
            let before = kinds.between(0, (from, to), table);
            let after = kinds.between(1, (from, to), table);
            let (Some(before), Some(after)) = (before, after) else {
                continue;
            };
            if before == after {
                continue;
            }
            let more = table.difference(after, before);
            if more != PortTable::NONE {
                gained.push((from, to, more));
            }
            let less = table.difference(before, after);
            let is_new = kinds.has_appeared(from) || kinds.has_appeared(to);
            if less != PortTable::NONE && !is_new {
                lost.push((from, to, less));
            }
        }
    }
    (gained, lost)
}
