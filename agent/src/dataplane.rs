//! The one door between the agent and the rules in the kernel: what changed comes in here and is in force after.
//!
//! Everything here blocks, and belongs to the thread of the sync.

use nft_backend::config::Config;
use nft_backend::drift::drift;
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::layout::LayoutError;
use nft_backend::live::{Live, Update, UpdateError};
use nft_backend::load::{self, LoadError, StandingFlows};
use nft_backend::nft::Nft;
use nft_backend::render::render;
use nft_backend::ruleset::Ruleset;
use policy_core::{Changes, Engine};

use crate::state::Saved;

/// Our table in one kernel, for one node.
#[derive(Debug)]
pub struct Dataplane<K> {
    node: String,
    config: Config,
    kernel: K,
    live: Live,
    /// What should be in force, under names without epochs.
    desired: Option<Ruleset>,
}

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
    /// The kernel did not take them.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// The kernel could not be asked.
    #[error("cannot look at what is in force: {0}")]
    Look(#[source] ApplyError),
    /// A load from empty could not be planned.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl<K: Kernel> Dataplane<K> {
    /// The table that `config` names, of which nothing is known yet: the first change loads all of it in place of what
    /// an earlier process left in force, without a moment in between.
    pub fn new(node: &str, config: Config, kernel: K) -> Self {
        Self {
            node: node.to_owned(),
            live: Live::new(config.clone()),
            config,
            kernel,
            desired: None,
        }
    }

    /// Puts `changes`, which brought `engine` to where it is, in force.
    ///
    /// # Errors
    /// When the kernel refuses; then what was in force stays, or a step towards the new that allows nothing which both
    /// deny. [`resync`](Self::resync) goes on from there.
    pub fn enforce(
        &mut self,
        engine: &Engine,
        changes: &Changes,
    ) -> Result<Update, DataplaneError> {
        if changes.is_empty() && self.desired.is_some() {
            return Ok(Update::Nothing);
        }
        self.resync(engine)
    }

    /// Puts all that the engine says in force.
    pub fn resync(&mut self, engine: &Engine) -> Result<Update, DataplaneError> {
        // Unknown until the update has come to its end: an empty change must not count as done after a failure.
        self.desired = None;
        let desired = render(&engine.graph(), &self.node, &self.config)?;
        let update = self.live.update(&mut self.kernel, &desired)?;
        self.desired = Some(desired);
        Ok(update)
    }

    /// Whether our table is there and leads packets to our chains. Cheap: elements are not looked at.
    pub fn stands(&self) -> Result<bool, DataplaneError> {
        let found = self.kernel.outline(&self.config.table);
        let found = found.map_err(DataplaneError::Look)?;
        Ok(found.is_some_and(|found| found.epoch().is_some()))
    }

    /// How the kernel differs from what was put in force, in words; nothing when it does not.
    pub fn verify(&self) -> Result<Vec<String>, DataplaneError> {
        let Some(desired) = &self.desired else {
            return Ok(Vec::new());
        };
        let mut differences = self.differences(desired)?;
        if !differences.is_empty() {
            // Just after a load the kernel may leave elements out of a listing (`Kernel::list`).
            differences = self.differences(desired)?;
        }
        Ok(differences)
    }

    /// Forgets what is in force, so that the next change loads all of it.
    pub fn forget(&mut self) {
        self.live.forget();
        self.desired = None;
    }

    /// What a boot without API server needs; `None` while nothing of ours is in force.
    pub fn saved(&self) -> Result<Option<Saved>, DataplaneError> {
        let Some(desired) = &self.desired else {
            return Ok(None);
        };
        let load = load::plan(desired, &self.config, None, StandingFlows::Recheck)?;
        let text = |transaction: &nft_backend::transaction::Transaction| {
            String::from_utf8_lossy(&transaction.to_json()).into_owned()
        };
        Ok(Some(Saved {
            node: self.node.clone(),
            table: self.config.table.to_string(),
            create: text(&load.create),
            switch: text(&load.switch),
        }))
    }

    /// How large the table is.
    pub fn size(&self) -> Size {
        let Some(contents) = self.live.contents() else {
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

    /// The kernel behind it.
    pub fn kernel_mut(&mut self) -> &mut K {
        &mut self.kernel
    }

    fn differences(&self, desired: &Ruleset) -> Result<Vec<String>, DataplaneError> {
        let found = self.kernel.list(&self.config.table);
        let found = found.map_err(DataplaneError::Look)?.unwrap_or_default();
        let differences = drift(desired, &found);
        Ok(differences.iter().map(ToString::to_string).collect())
    }
}

/// What became of the saved rules at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// They are in force now.
    Loaded,
    /// Rules of an earlier process are in force, which are at least as new.
    InForceAlready,
    /// They are another node's or another table's.
    NotOurs,
}

/// Puts saved rules in force when no table of ours leads packets anywhere: after a boot, before the API server can be
/// reached.
///
/// # Errors
/// When the kernel cannot be asked or refuses. Until *switch*, no packet comes to the new objects.
pub fn restore(
    nft: &mut Nft,
    config: &Config,
    node: &str,
    saved: &Saved,
) -> Result<Restored, ApplyError> {
    if saved.node != node || saved.table != config.table.as_str() {
        return Ok(Restored::NotOurs);
    }
    if let Some(found) = nft.outline(&config.table)? {
        if found.epoch().is_some() {
            return Ok(Restored::InForceAlready);
        }
        // A first load that was cut off before its switch: nothing leads there.
        remove(nft, config)?;
    }
    nft.apply_saved(saved.create.as_bytes())?;
    if let Some(bits) = config.marks {
        nft.clear_marks(bits)?;
    }
    nft.apply_saved(saved.switch.as_bytes())?;
    Ok(Restored::Loaded)
}

/// Takes our table away; false when there is none.
pub fn remove(kernel: &mut dyn Kernel, config: &Config) -> Result<bool, ApplyError> {
    use nft_backend::transaction::{Target, Transaction};
    if kernel.outline(&config.table)?.is_none() {
        return Ok(false);
    }
    let mut transaction = Transaction::new(config.table.clone());
    transaction.delete(Target::Table);
    kernel.apply(&transaction)?;
    Ok(true)
}
