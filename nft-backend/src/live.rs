//! A table that is kept up to date: it knows what is in force and changes it by what differs.

use crate::config::Config;
use crate::delta::Delta;
use crate::diff::{self, Plan, Step};
use crate::digest::Digest;
use crate::fake_table::follow;
use crate::generation::{Generation, MarkBits};
use crate::in_force::InForce;
use crate::kernel::{ApplyError, Kernel};
use crate::load::{self, LoadError, StandingFlows};
use crate::placement::{Edits, Index, Placement};
use crate::ruleset::Ruleset;
use crate::transaction::Transaction;
use crate::under_way::UnderWay;

/// Our table in one kernel. It belongs to us alone while this lives; somebody else's change of it makes
/// an update fail or is found by [`drift`](mod@crate::drift).
#[derive(Debug, Clone)]
pub struct Live {
    config: Config,
    contents: Option<Ruleset>,
    /// What is known of the contents besides; `None` after a failure, when only comparing tells what is to be done.
    index: Option<Index>,
    /// The generation that has been in force ever since the marks were cleared for the one after it.
    cleared: Option<(MarkBits, Generation)>,
    under_way: UnderWay,
}

/// How an update was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// All of it anew.
    Load,
    /// Chains anew, and the sets that changed.
    Switch,
    /// In place.
    Increment,
    /// Nothing was to be done.
    Nothing,
}

/// Why an update did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// A full load failed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What is in force is not what the delta is a change of, or not known since a failure. Nothing was done;
    /// [`Live::update`] with the whole ruleset brings it about.
    #[error("the change is not one of what is in force; update with the whole ruleset")]
    OutOfStep,
    /// The kernel did not carry out a step of an increment. The steps before it are done; each of them
    /// leaves a state in which no packet passes that both the old and the new rules deny.
    #[error("could not carry out step {step} of {steps}: {source}")]
    Step {
        /// The step, counted from 1.
        step: usize,
        /// How many there are.
        steps: usize,
        /// Why.
        source: ApplyError,
    },
}

impl Live {
    /// A table of which nothing is known, so that the first update loads it as a whole.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            contents: None,
            index: None,
            cleared: None,
            under_way: UnderWay::default(),
        }
    }

    /// What is in force, under the names that it has in the kernel; `None` when that is not known.
    pub fn contents(&self) -> Option<&Ruleset> {
        self.contents.as_ref()
    }

    /// Forgets what is in force, so that the next update loads all of it.
    pub fn forget(&mut self) {
        (self.contents, self.index, self.cleared) = (None, None, None);
    }

    /// Takes this for what is in force, under the names that it has in the kernel.
    pub(crate) fn assume(&mut self, contents: Ruleset) {
        (self.contents, self.index, self.cleared) = (Some(contents), None, None);
    }

    /// Puts a ruleset from [`lay_out`](crate::layout::lay_out) in force.
    ///
    /// # Errors
    /// When the kernel refuses a step. The next update goes on from what is in force then; if that is not
    /// known, it loads all of it.
    pub fn update(
        &mut self,
        kernel: &mut dyn Kernel,
        desired: &Ruleset,
    ) -> Result<Update, UpdateError> {
        let index = self.index.take();
        let Some(contents) = self.contents.take() else {
            return self.load(kernel, desired);
        };
        let Some(index) = index.or_else(|| Index::of(&contents)) else {
            return self.load(kernel, desired);
        };
        let old = Placement {
            contents: &contents,
            index: &index,
        };
        let Ok(delta) = diff::delta(old, desired) else {
            return self.load(kernel, desired);
        };
        let planned = diff::plan(old, &delta);
        self.carry_out(kernel, (contents, index), planned, delta.to)
    }

    /// Makes a change of what is in force, at a cost that follows the change.
    ///
    /// After a failure what is in force can be anything between the old ruleset and the new one, while the delta's maker
    /// has gone on. So then, and whenever the delta is not a change of just what is in force, deltas are refused until
    /// [`update`](Self::update) was given a whole ruleset: the two never drift apart unnoticed.
    ///
    /// # Errors
    /// When the delta is not a change of what is in force, or the kernel refuses a step.
    pub fn update_by(
        &mut self,
        kernel: &mut dyn Kernel,
        delta: &Delta,
    ) -> Result<Update, UpdateError> {
        let is_in_step = |index: &mut Index| index.digest == Some(delta.from);
        let (Some(contents), Some(index)) = (&self.contents, self.index.take_if(is_in_step)) else {
            return Err(UpdateError::OutOfStep);
        };
        let old = Placement {
            contents,
            index: &index,
        };
        let planned = diff::plan(old, delta);
        let contents = self.contents.take().ok_or(UpdateError::OutOfStep)?;
        self.carry_out(kernel, (contents, index), planned, delta.to)
    }

    /// Clears the marks of standing flows when the next change that takes a permission away would have to, so that it need
    /// not: for a moment at which no change waits. It costs one conntrack dump, once in 2^(n-1) such changes with n mark
    /// bits, and otherwise nothing.
    ///
    /// # Errors
    /// When the kernel refuses; then the change clears them, as it would have.
    pub fn clear_ahead(&mut self, kernel: &mut dyn Kernel) -> Result<(), ApplyError> {
        let generation = self.index.as_ref().and_then(|index| index.generation);
        let Some((bits, current)) = generation.filter(|(bits, now)| bits.can_clear_ahead(*now))
        else {
            return Ok(());
        };
        if self.cleared != generation {
            kernel.clear_marks(bits)?;
            self.cleared = Some((bits, current));
        }
        Ok(())
    }

    fn load(&mut self, kernel: &mut dyn Kernel, desired: &Ruleset) -> Result<Update, UpdateError> {
        self.cleared = None;
        let failed = |source| LoadError::Step {
            step: load::Step::List,
            source,
        };
        let in_force = kernel.outline(&self.config.table).map_err(failed)?;
        let standing = StandingFlows::Recheck;
        let load = load::plan(desired, &self.config, in_force.as_ref(), standing)?;
        load::carry_out(kernel, &load)?;
        self.under_way = UnderWay::default();
        self.index = Index::of(&load.contents);
        self.contents = Some(load.contents);
        Ok(Update::Load)
    }

    fn carry_out(
        &mut self,
        kernel: &mut dyn Kernel,
        (mut contents, mut index): (Ruleset, Index),
        (plan, edits): (Plan, Option<Edits>),
        digest: Digest,
    ) -> Result<Update, UpdateError> {
        let steps = plan.steps.len();
        // The first bump of a plan is from the generation in force, so it is the one that was cleared for.
        let mut cleared = self
            .cleared
            .take()
            .filter(|ahead| index.generation == Some(*ahead));
        for (index, step) in plan.steps.iter().enumerate() {
            let failed = |source| UpdateError::Step {
                step: index + 1,
                steps,
                source,
            };
            match step {
                Step::ClearMarks(_) if cleared.take().is_some() => {}
                Step::ClearMarks(bits) => {
                    if let Err(error) = kernel.clear_marks(*bits) {
                        self.contents = Some(contents);
                        return Err(failed(error));
                    }
                }
                Step::Apply(transaction) => {
                    if self.under_way.must_wait(transaction, &contents) {
                        kernel.let_packets_through();
                        self.under_way = UnderWay::default();
                    }
                    self.under_way.note(transaction, &contents);
                    if let Err(error) = kernel.apply(transaction) {
                        self.contents = look(kernel, contents, transaction);
                        return Err(failed(error));
                    }
                    follow(&mut contents, transaction)
                        .map_err(|reason| failed(ApplyError::NotUnderstood { reason }))?;
                }
            }
        }
        match edits {
            Some(edits) => index.follow(edits, digest),
            None => index = Index::of(&contents).ok_or(UpdateError::OutOfStep)?,
        }
        debug_assert!(index.is_of(&contents), "the index follows the contents");
        self.cleared = cleared.filter(|ahead| index.generation == Some(*ahead));
        (self.contents, self.index) = (Some(contents), Some(index));
        Ok(if plan.steps.is_empty() {
            Update::Nothing
        } else if plan.is_switch {
            Update::Switch
        } else {
            Update::Increment
        })
    }
}

/// What is in force after a transaction that may have been carried out or not: what was before, what
/// should be after, or nothing that is known.
fn look(kernel: &dyn Kernel, before: Ruleset, transaction: &Transaction) -> Option<Ruleset> {
    let found = kernel.list(&before.table).ok()??;
    if InForce::of(&before) == found {
        return Some(before);
    }
    let mut after = before;
    follow(&mut after, transaction).ok()?;
    (InForce::of(&after) == found).then_some(after)
}
