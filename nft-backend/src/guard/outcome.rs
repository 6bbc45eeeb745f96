//! What comes of looking after a table.

use std::io;
use std::time::Instant;

use crate::kernel::ApplyError;
use crate::layout::LayoutError;
use crate::live::{Update, UpdateError};
use crate::notifications::Commit;

/// What came of looking after the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handled {
    /// Nobody else touched it.
    Quiet,
    /// It was compared, and is as it should be.
    Intact,
    /// Nobody else changed it; an update that had failed before is made now.
    Updated(Update),
    /// It was changed, and is as it should be again.
    Repaired(Repair),
    /// Somebody changes it faster than repairs are made; the next one will be made then.
    Postponed {
        /// When.
        until: Instant,
    },
}

/// A repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// How it was made.
    pub update: Update,
    /// Who did what; the first few of many, and nobody when messages were lost.
    pub commits: Vec<Commit>,
}

/// Why the table could not be looked after.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// Nothing can be heard of changes any more.
    #[error("cannot hear of changes of tables any more: {0}")]
    Notifications(#[from] io::Error),
    /// What is in force could not be compared with what should be. It is tried again.
    #[error("could not compare the table with what it should be: {0}")]
    Compare(#[source] ApplyError),
    /// What should be in force cannot be laid out. It is tried again.
    #[error("cannot lay out the rules: {0}")]
    Layout(#[from] LayoutError),
    /// The table could not be changed. What should be in force is tried again.
    #[error(transparent)]
    Update(#[from] UpdateError),
}
