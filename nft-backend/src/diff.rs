//! The smallest sequence of transactions from what is in force to what should be.
//!
//! # No packet is judged by anything but the old ruleset or the new one
//! A packet looks up its source's class for egress, then its destination's for ingress, and the sets
//! of each; both stages must allow it. Rules are those of the moment when the packet entered the hook,
//! lookups are of their own moment (measurements in [`load`](mod@crate::load)). So it is not enough
//! that the old and the new state are right: adding first what is new would let a packet through whose
//! egress only the new ruleset allows and whose ingress only the old one does. Therefore permissions
//! shrink before they grow, and a change in place is up to five transactions:
//!
//! 1. *create* makes new chains and sets, which nothing leads to, and the pairs that let a pod reach
//!    itself, which changes nothing for a pod that is not isolated yet.
//! 2. *take* removes elements and isolates addresses. Everything in it takes, so a packet on its way
//!    meets something between the old state and this one. After it each stage allows at most what both
//!    rulesets allow there, but for the addresses that step 3 is about.
//! 3. *move* leads addresses to another class. For each packet it is one lookup that changes.
//! 4. *give* adds elements and ends isolation. Everything in it gives.
//! 5. *clean up* deletes what nothing leads to any more.
//!
//! Empty steps are left out: a pod that becomes a peer is *give* alone, one that ceases to be one is
//! *take* alone.
//!
//! That nothing is lost in between which both rulesets allow needs more: what goes in step 2 must not
//! come back in another form in step 4 (a port becomes a range, a peer part of a block), and a class
//! that an address comes to must be complete by then. Where that does not hold, where rules of a chain
//! change, where an interval set would lose elements, or where a packet could meet two moves that both
//! give and take, the change is a *switch*, as a load is: all chains and maps are made anew beside the
//! old ones, with the sets whose elements change; sets that stay are shared. It costs what the chains of
//! the node cost, not what their elements do.
//!
//! # The generation
//! It moves on in each step that takes a permission from an address, so that a failure after the step
//! leaves no flow that should be cut. It is told from the elements: a permission counts as taken away
//! also when the stage of the other end denied the flow before, or when several elements only together
//! still cover it.

use crate::changes::Changes;
use crate::generation::{Generation, MarkBits};
use crate::in_force::digest_set;
use crate::increment::Increment;
use crate::layout::{generation_chains, mark_mask};
use crate::names::{BASE, Name};
use crate::placement::{Placement, View};
use crate::ruleset::Ruleset;
use crate::switch_over;
use crate::transaction::Transaction;

/// What leads from one ruleset to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What to do, in this order. Without steps, what is in force is right.
    pub steps: Vec<Step>,
    /// Whether chains are switched; otherwise all is changed in place.
    pub is_switch: bool,
    /// Whether standing flows are evaluated anew.
    pub bumps_generation: bool,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The kernel clears these bits in the marks of all flows.
    ClearMarks(MarkBits),
    /// The kernel carries out the transaction.
    Apply(Transaction),
}

/// Why only a full load leads from one ruleset to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NeedsLoad {
    /// The table was not left by a load.
    #[error("what is in force was not loaded by this program")]
    Foreign,
    /// The base chain, the counters or the mark bits differ.
    #[error("what is in force has other settings")]
    OtherSettings,
}

pub(crate) struct Planned {
    pub(crate) steps: Vec<Step>,
    pub(crate) bumped: bool,
}

/// The generation in force, to be counted on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bump {
    pub(crate) bits: MarkBits,
    pub(crate) current: Generation,
}

/// The transactions from what is in force to `desired`. `in_force` is the table under the names that its
/// objects have in the kernel, as [`Load::contents`](crate::load::Load::contents) and
/// [`Live`](crate::live::Live) tell it; `desired` comes from [`lay_out`](crate::layout::lay_out).
///
/// # Errors
/// When only a full load can do it: the table is not one of ours, or of another configuration.
pub fn diff(in_force: &Ruleset, desired: &Ruleset) -> Result<Plan, NeedsLoad> {
    let placement = Placement::of(in_force).ok_or(NeedsLoad::Foreign)?;
    let base = |ruleset: &Ruleset| {
        ruleset
            .chains
            .get(&Name::fixed(BASE))
            .map(|base| base.priority)
    };
    let mask = placement.generation.map(|(bits, _)| bits.mask());
    if in_force.table != desired.table
        || in_force.counters != desired.counters
        || base(in_force) != base(desired)
        || mask != mark_mask(desired)
    {
        return Err(NeedsLoad::OtherSettings);
    }
    let mut view = View::of(desired);
    if let Some((bits, generation)) = placement.generation {
        view.chains.extend(generation_chains(bits, generation));
    }
    let changes = Changes::between(&placement.view, &view);
    let is_switch = !changes.can_be_made_in_place();
    let digest = digest_set(desired.digest());
    let planned = if is_switch {
        switch_over::steps(&placement, &changes, desired)
    } else {
        let table = &desired.table;
        Increment {
            table,
            placement: &placement,
            desired: &view,
            changes: &changes,
            digest,
        }
        .steps()
    };
    Ok(Plan {
        steps: planned.steps,
        is_switch,
        bumps_generation: planned.bumped,
    })
}
