//! What a guard keeps in force: a ruleset that somebody else makes, or a node that is kept by changes.

use std::borrow::Cow;

use policy_core::incremental::Changes;

use super::{Guard, GuardError, Handled, Unheard};
use crate::config::Config;
use crate::kernel::Kernel;
use crate::layout::LayoutError;
use crate::live::{Update, UpdateError};
use crate::node::Node;
use crate::notifications::Notices;
use crate::ruleset::Ruleset;

/// What should be in force.
pub trait Desired {
    /// All of it, as [`lay_out`](crate::layout::lay_out) makes it.
    ///
    /// # Errors
    /// When it cannot be laid out.
    fn ruleset(&self) -> Result<Cow<'_, Ruleset>, LayoutError>;
}

impl Desired for Ruleset {
    fn ruleset(&self) -> Result<Cow<'_, Ruleset>, LayoutError> {
        Ok(Cow::Borrowed(self))
    }
}

/// It is made each time, at the cost of the node's elements: for a load or a repair.
impl Desired for Node {
    fn ruleset(&self) -> Result<Cow<'_, Ruleset>, LayoutError> {
        self.ruleset().map(Cow::Owned)
    }
}

impl<K: Kernel, N: Notices> Guard<K, N, Ruleset> {
    /// Guards the table of this configuration, from the first [`update`](Self::update) on. The notices
    /// must be those of the kernel's network namespace and of the same table.
    pub fn new(kernel: K, notices: N, config: Config) -> Self {
        // Never put in force: that begins with the first update.
        let nothing = Ruleset::new(config.table.clone());
        Self::over(kernel, notices, config, nothing)
    }

    /// Puts a ruleset from [`lay_out`](crate::layout::lay_out) in force, after what is to be repaired.
    ///
    /// # Errors
    /// When the kernel refuses a step, as [`Live::update`](crate::live::Live::update) says. Once something
    /// is in force, the guard goes on trying to put the ruleset in force with each
    /// [`handle`](Self::handle).
    pub fn update(&mut self, desired: Ruleset) -> Result<Update, GuardError> {
        // A repair that fails is tried again, and what keeps it from being made is told below.
        let _ = self.handle();
        self.desired = desired;
        let mut kernel = Unheard::new(&mut self.kernel, &mut self.notices, &mut self.own);
        let updated = self.live.update(&mut kernel, &self.desired);
        self.conclude(updated.map_err(GuardError::from))
    }
}

impl<K: Kernel, N: Notices> Guard<K, N, Node> {
    /// Guards the table of this configuration, with the rules of a node of which nothing is known yet, from the
    /// first [`update_by`](Self::update_by) on. The notices must be those of the kernel's network namespace and of the
    /// same table.
    ///
    /// # Errors
    /// When the table cannot be laid out.
    pub fn of_node(kernel: K, notices: N, config: Config) -> Result<Self, LayoutError> {
        let node = Node::new(config.clone())?;
        Ok(Self::over(kernel, notices, config, node))
    }

    /// Puts changes in force that came after those of the last call, after what is to be repaired. The cost follows
    /// the changes; only the first time, and where it is not known what is in force, all of the ruleset is put there.
    /// Without changes it makes up for an update that failed.
    ///
    /// # Errors
    /// When the kernel refuses a step. The changes are taken over all the same, and must not be given again: the next
    /// call, and once something is in force each [`handle`](Self::handle), goes on from what is in force then.
    pub fn update_by(&mut self, changes: &Changes) -> Result<Update, GuardError> {
        // As in `update`. What this puts in force is what was desired until now.
        let handled = self.handle();
        let delta = self.desired.take(changes);
        let mut kernel = Unheard::new(&mut self.kernel, &mut self.notices, &mut self.own);
        let mut updated = self.live.update_by(&mut kernel, &delta);
        if updated == Err(UpdateError::OutOfStep) {
            updated = match self.desired.ruleset() {
                Ok(desired) => self.live.update(&mut kernel, &desired),
                Err(error) => return self.conclude(Err(error.into())),
            };
        }
        let made_up_for = match handled {
            Ok(Handled::Updated(update)) => update,
            _ => Update::Nothing,
        };
        let updated = updated.map(|update| match update {
            Update::Nothing => made_up_for,
            update => update,
        });
        self.conclude(updated.map_err(GuardError::from))
    }
}
