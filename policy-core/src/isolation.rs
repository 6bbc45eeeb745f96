//! What policies make of a pod's traffic in one direction, where some of them may only be audited.

use crate::flow::Direction;
use crate::policy::{Mode, Policy};

/// Whether a pod is isolated in one direction, and whether that is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Isolation {
    /// No policy isolates it: everything passes.
    #[default]
    None,
    /// Only policies in audit mode isolate it: everything passes, and what they do not allow is told.
    Audited,
    /// A policy that is enforced isolates it: what no policy allows is denied. The rules of policies in audit mode
    /// count among those that allow, as they will when they are enforced.
    Enforced,
}

impl Isolation {
    /// What these policies make of `direction`, all of which select the pod.
    pub(crate) fn by<'p>(policies: impl Iterator<Item = &'p Policy>, direction: Direction) -> Self {
        let isolating = policies.filter(|policy| policy.isolates(direction));
        let each = isolating.map(|policy| match policy.mode {
            Mode::Audit => Self::Audited,
            Mode::Enforce => Self::Enforced,
        });
        each.max().unwrap_or_default()
    }
}
