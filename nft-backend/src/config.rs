//! What a node's administrator may choose about our table.

use crate::generation::MarkBits;
use crate::names::{Name, NameError};
use crate::statement::{LogTarget, Rate};

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
    /// Where denied and audited packets are told, and how many of them: nflog group 110, of each
    /// class and direction 10 a second after a burst of 20.
    pub log: Log,
    /// Whether every class is audited, whatever the modes of its policies: nothing is denied, and
    /// what would be is told.
    pub audit_all: bool,
    /// Whether classes count what they evaluate and what they deny: they do.
    pub class_counters: bool,
    /// Whether each rule of a policy counts what it admits: it does not. It costs the first packet of a flow a lookup or
    /// more for each rule of the classes at its ends, and memory for each rule's peers and ports.
    pub rule_counters: bool,
}

/// Where denied and audited packets are told.
///
/// The rate is that of each class, direction and way of a flow on its own, so that a flood at one pod
/// hides no denial at another. What is told in all is bounded by the classes of a node, which are no
/// more than twice its pods. Counters count every packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// Nowhere.
    None,
    /// In the kernel's own log.
    Kernel(Rate),
    /// To programs that listen to an nflog group, such as `nopal watch-denied`.
    Nflog {
        /// The group.
        group: u16,
        /// How many.
        rate: Rate,
    },
}

impl Log {
    /// The nflog group of the default.
    pub const GROUP: u16 = 110;
    /// The rate of the default.
    pub const RATE: Rate = Rate {
        per_second: 10,
        burst: 20,
    };

    /// The rate and the target, if anything is told.
    pub(crate) fn target(self) -> Option<(Rate, LogTarget)> {
        match self {
            Self::None => None,
            Self::Kernel(rate) => Some((rate, LogTarget::Kernel)),
            Self::Nflog { group, rate } => Some((rate, LogTarget::Nflog(group))),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::Nflog {
            group: Self::GROUP,
            rate: Self::RATE,
        }
    }
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
            log: Log::default(),
            audit_all: false,
            class_counters: true,
            rule_counters: false,
        }
    }
}
