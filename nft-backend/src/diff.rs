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
//! A packet that is held up between its two stages can meet more than one of these steps. Where it could pass by egress
//! as it was before and ingress as it is after, and where maps go, the packets that are under way are waited for (module
//! `under_way`).
//! The other way round nothing is waited for: one that entered before *create* and looks its class up after *move* comes
//! to a chain that has no rules of its generation, and is lost.
//!
//! Empty steps are left out: a pod that becomes a peer is *give* alone, one that ceases to be one is
//! *take* alone.
//!
//! Where the rules of a class change, its chains are made anew under the same names with a new epoch, and with them the
//! sets that change and that no other chain looks at: in step 1 nothing leads to them yet, so they are complete before
//! they are met, and in step 3 the class's addresses move to them as they would to another class. The old ones go in
//! step 5. So a policy's change costs what its classes cost.
//!
//! Interval sets lose elements in step 2 as hashes do. The kernel marks an element of whatever set as gone for the
//! generation that its lookups read, and takes it out of the tree or, with a copy of the whole set, out of the ranges
//! later; the elements that stay are found all the while (`increments_kernel.rs`, under traffic).
//! The copy is why a set that loses many elements is made anew.
//!
//! That nothing is lost in between which both rulesets allow needs more: what goes in step 2 must not
//! come back in another form in step 4 (a port becomes a range, a peer part of a block), and a class
//! that an address comes to must be complete by then. A class whose elements come in another form is made anew, as if
//! its rules changed. Where a class cannot be complete, where rules around the classes
//! change, or where a packet could meet two moves that both
//! give and take (both directions of a policy change, and it isolates several pods), the change is a *switch*, as a load
//! is: all chains and maps are made anew beside the
//! old ones, with the sets whose elements change; sets that stay are shared. It costs what the chains of
//! the node cost, not what their elements do.
//!
//! # Whole rulesets and deltas
//! All of this reads a [`Delta`], whether comparing two rulesets found it or a [`Node`](crate::node::Node) gave it, and
//! what is in force. What does not change is looked up where a rule asks for it, and never walked over.
//!
//! # The generation
//! It moves on in each step that takes a permission from an address, so that a failure after the step
//! leaves no flow that should be cut. It is told from the elements that change: a permission counts as taken away
//! also when the stage of the other end denied the flow before, or when several elements only together
//! still cover it.

use crate::changes::Changes;
use crate::class_counters::is_of_class;
use crate::compare::{compare, has_same_maps};
use crate::delta::Delta;
use crate::generation::{Generation, MarkBits};
use crate::increment::Increment;
use crate::layout::mark_bits;
use crate::names::{BASE, Name};
use crate::placement::{Edits, Index, Placement};
use crate::rule_counters::is_of_rule;
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
    /// The base chain, the counters around the classes or the mark bits differ.
    #[error("what is in force has other settings")]
    OtherSettings,
}

pub(crate) struct Planned {
    pub(crate) steps: Vec<Step>,
    pub(crate) bumped: bool,
    /// How the index of the table follows a change in place; after a switch it is read anew.
    pub(crate) edits: Option<Edits>,
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
    let index = Index::of(in_force).ok_or(NeedsLoad::Foreign)?;
    let old = Placement {
        contents: in_force,
        index: &index,
    };
    Ok(plan(old, &delta(old, desired)?).0)
}

/// What differs between the table in force and `desired`.
pub(crate) fn delta(old: Placement<'_>, desired: &Ruleset) -> Result<Delta, NeedsLoad> {
    let in_force = old.contents;
    let base = |ruleset: &Ruleset| {
        ruleset
            .chains
            .get(&Name::fixed(BASE))
            .map(|base| base.priority)
    };
    let bits = old.index.generation.map(|(bits, _)| bits);
    if in_force.table != desired.table
        || !fixed_counters(in_force).eq(fixed_counters(desired))
        || base(in_force) != base(desired)
        || bits != mark_bits(desired)
        || !has_same_maps(old, desired)
    {
        return Err(NeedsLoad::OtherSettings);
    }
    Ok(compare(old, desired))
}

/// The counters around classes and rules.
fn fixed_counters(ruleset: &Ruleset) -> impl Iterator<Item = &Name> {
    let counters = ruleset.counters.iter();
    counters.filter(|name| !is_of_class(name) && !is_of_rule(name))
}

/// The transactions of a change of the table in force, and how its index follows if they are made in place.
pub(crate) fn plan(old: Placement<'_>, delta: &Delta) -> (Plan, Option<Edits>) {
    let table = &old.contents.table;
    let changes = Changes::new(old, delta);
    if changes.can_be_made_in_place() {
        return planned(
            Increment {
                table,
                changes: &changes,
            }
            .steps(),
            false,
        );
    }
    if let Some(delta) = changes.with_classes_made_anew() {
        let changes = Changes::new(old, &delta);
        if changes.can_be_made_in_place() {
            return planned(
                Increment {
                    table,
                    changes: &changes,
                }
                .steps(),
                false,
            );
        }
    }
    planned(switch_over::steps(&changes), true)
}

fn planned(planned: Planned, is_switch: bool) -> (Plan, Option<Edits>) {
    let plan = Plan {
        steps: planned.steps,
        is_switch,
        bumps_generation: planned.bumped,
    };
    (plan, planned.edits)
}
