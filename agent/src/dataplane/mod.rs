//! The one door between the agent and the rules in the kernel: what changed comes in here and is in force after, and
//! what others do to the rules is undone here.
//!
//! Everything here blocks, and belongs to the thread of the sync.

mod open;
mod saved;

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use nft_backend::config::Config;
use nft_backend::digest::Digest;
use nft_backend::guard::{Guard, GuardError};
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::layout::LayoutError;
use nft_backend::live::Update;
use nft_backend::netlink::Netlink;
use nft_backend::node::Node;
use nft_backend::notifications::{Notices, Notifications};
use policy_core::{Changes, RuleId};

pub use nft_backend::guard::Handled;
pub use open::{OpenError, Opened, open};
pub use saved::{Copied, Removed, Restored, remove, restore};

/// Our table in one kernel, for one node.
#[derive(Debug)]
pub struct Dataplane<K, N> {
    node: String,
    config: Config,
    guard: Guard<K, N, Node>,
}

/// The one of a running agent.
pub type KernelDataplane = Dataplane<Netlink, Notifications>;

/// How large the table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Chains.
    pub chains: usize,
    /// Sets and maps.
    pub sets: usize,
    /// Their elements.
    pub elements: usize,
}

/// Why something is not in force.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    /// The rules could not be laid out.
    #[error("cannot lay out the rules: {0}")]
    Layout(#[from] LayoutError),
    /// Rules are in force already, and those of a node that nobody knows would open everything.
    #[error("the cluster has no node {0} and no pod on it; is --node right?")]
    UnknownNode(String),
    /// The table could not be changed or looked after.
    #[error(transparent)]
    Guard(#[from] GuardError),
}

impl<K: Kernel, N: Notices> Dataplane<K, N> {
    /// The table that `config` names, of which nothing is known yet: the first change loads all of it in place of what
    /// an earlier process left in force, without a moment in between. `notices` tell of the same table.
    ///
    /// # Errors
    /// When the table cannot be laid out.
    pub fn new(node: &str, config: Config, kernel: K, notices: N) -> Result<Self, DataplaneError> {
        Ok(Self {
            node: node.to_owned(),
            guard: Guard::of_node(kernel, notices, config.clone())?,
            config,
        })
    }

    /// Puts `changes` in force, at a cost that follows them, after what others did is undone. Without changes it makes
    /// up for an update that failed.
    ///
    /// # Errors
    /// When the kernel refuses; then what was in force stays, or a step towards the new that allows nothing which both
    /// deny. The changes must not be given again: the next call, or [`look`](Self::look), goes on from there.
    pub fn enforce(&mut self, changes: &Changes) -> Result<Update, DataplaneError> {
        Ok(self.guard.update_by(changes)?)
    }

    /// Undoes what others are told to have done to the table. Cheap when nobody did anything.
    ///
    /// # Errors
    /// When the table cannot be compared or repaired; the next call tries again.
    pub fn look(&mut self) -> Result<Handled, DataplaneError> {
        Ok(self.guard.handle()?)
    }

    /// Compares the whole table with what should be, and repairs what differs.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub fn verify(&mut self) -> Result<Handled, DataplaneError> {
        Ok(self.guard.verify()?)
    }

    /// Does ahead what one of the next changes would have to do with standing flows: for a moment at which none waits.
    ///
    /// # Errors
    /// When the kernel refuses; then the change does it.
    pub fn prepare(&mut self) -> Result<(), ApplyError> {
        self.guard.clear_ahead()
    }

    /// When to [`look`](Self::look) though nothing is told: what is to be repaired waits until then.
    pub fn due(&mut self) -> Option<Instant> {
        self.guard.due()
    }

    /// Whether others change the table so often that undoing it has to wait.
    pub fn is_fought(&mut self) -> bool {
        self.due().is_some_and(|due| due > Instant::now())
    }

    /// How many repairs were made.
    pub fn repairs(&self) -> u64 {
        self.guard.repairs()
    }

    /// What is in force, for a boot without API server; `None` while that is not known.
    pub fn copied(&self) -> Option<Copied> {
        let contents = self.guard.contents()?.clone();
        Some(Copied::new(&self.node, contents, self.digest()))
    }

    /// By which it is known whether what should be in force has changed.
    pub fn digest(&self) -> Digest {
        self.guard.desired().digest()
    }

    /// Whether packets are counted for rules: then changes have to be those of an engine that tells rules.
    pub fn counts_rules(&self) -> bool {
        self.config.rule_counters
    }

    /// The rules that packets are counted for.
    pub fn counted_rules(&self) -> BTreeSet<RuleId> {
        self.guard.desired().counted_rules()
    }

    /// How large the table is.
    pub fn size(&self) -> Size {
        let Some(contents) = self.guard.contents() else {
            return Size::default();
        };
        let in_sets: usize = contents.sets.values().map(|set| set.elements.len()).sum();
        let in_maps: usize = contents.maps.values().map(|map| map.entries.len()).sum();
        Size {
            chains: contents.chains.len(),
            sets: contents.sets.len() + contents.maps.len(),
            elements: in_sets + in_maps,
        }
    }
}

/// Readable when somebody changed a table: then [`Dataplane::look`] has something to read.
impl<K, N: AsFd> AsFd for Dataplane<K, N> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.guard.as_fd()
    }
}
