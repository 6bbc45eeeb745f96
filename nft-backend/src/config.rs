//! What a node's administrator may choose about our table.

use crate::generation::MarkBits;
use crate::names::{Name, NameError};
use crate::statement::Rate;

/// The choices, with their defaults in [`Config::default`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The table's name, `nopal`.
    pub table: Name,
    /// The priority at the forward hook, -5: after the translation of Service addresses (-100), so
    /// rules see pod addresses, and before the filters of other programs (0).
    pub priority: i32,
    /// The bits of the conntrack mark that hold a flow's generation, `0xff000000`. They must not be
    /// used by anybody else on the node. Without marks, established flows pass whatever changes:
    /// a standing flow is not cut when a policy comes to deny it.
    pub marks: Option<MarkBits>,
    /// What happens to a denied packet: it is dropped.
    pub deny: Deny,
    /// How many denied packets the kernel's log shows: 10 a second after a burst of 20. With
    /// `None`, none.
    pub log: Option<Rate>,
}

/// What happens to a denied packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Deny {
    /// It disappears.
    #[default]
    Drop,
    /// Its sender is told that an administrator forbids it.
    Reject,
}

impl Config {
    /// The default name of the table.
    pub const TABLE: &'static str = "nopal";

    /// The defaults, for the table of this name.
    pub fn for_table(table: &str) -> Result<Self, NameError> {
        Ok(Self {
            table: Name::table(table)?,
            ..Self::default()
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            table: Name::fixed(Self::TABLE),
            priority: -5,
            marks: Some(MarkBits::DEFAULT),
            deny: Deny::default(),
            log: Some(Rate {
                per_second: 10,
                burst: 20,
            }),
        }
    }
}
