//! Rules from the disk, and away with them: what is done to the table before and after an agent's life.

use nft_backend::config::Config;
use nft_backend::digest::Digest;
use nft_backend::generation::MarkBits;
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::load;
use nft_backend::nft::Nft;
use nft_backend::ruleset::Ruleset;
use nft_backend::transaction::{Target, Transaction};

use crate::state::Saved;

/// What is in force at a moment, to be kept for the next boot. It costs a copy; all else can be done on another thread.
#[derive(Debug)]
pub struct Copied {
    node: String,
    contents: Ruleset,
    digest: Digest,
}

impl Copied {
    pub(super) fn new(node: &str, contents: Ruleset, digest: Digest) -> Self {
        Self {
            node: node.to_owned(),
            contents,
            digest,
        }
    }

    /// By which it is known whether something else is in force since.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// As it is kept: what brings it into an empty kernel.
    pub fn saved(self) -> Saved {
        let text = |transaction: &Transaction| {
            String::from_utf8_lossy(&transaction.to_json()).into_owned()
        };
        let table = self.contents.table.to_string();
        let again = load::again(self.contents);
        Saved {
            node: self.node,
            table,
            mark_mask: again.marks.map(MarkBits::mask),
            create: text(&again.create),
            unmark: text(&again.unmark),
            switch: text(&again.switch),
        }
    }
}

/// What became of the saved rules at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restored {
    /// They are in force now.
    Loaded,
    /// They are in force now, and read and write no marks, since other bits are configured than they were made with: each
    /// packet of a flow is judged.
    Unmarked,
    /// Rules of an earlier process are in force, which are at least as new.
    InForceAlready,
    /// They are another node's or another table's.
    NotOurs,
    /// Somebody else has made a table of our name, which stays as it is.
    TableOfOthers {
        /// Some of what was found in it.
        found: String,
    },
}

/// What became of the table when it was to be taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Gone,
    /// There was none.
    NotThere,
    /// Somebody else has made it. It stays as it is.
    OfOthers {
        /// Some of what was found in it.
        found: String,
    },
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
        // Nothing leads into what a first load that was cut off before its switch has left.
        if let Removed::OfOthers { found } = remove(nft, config)? {
            return Ok(Restored::TableOfOthers { found });
        }
    }
    nft.apply_saved(saved.create.as_bytes())?;
    let restored = match (saved.mark_mask, config.marks) {
        (Some(mask), Some(bits)) if mask == bits.mask() => {
            nft.clear_marks(bits)?;
            Restored::Loaded
        }
        (Some(_), _) => {
            nft.apply_saved(saved.unmark.as_bytes())?;
            Restored::Unmarked
        }
        (None, _) => Restored::Loaded,
    };
    nft.apply_saved(saved.switch.as_bytes())?;
    Ok(restored)
}

/// Takes our table away.
///
/// # Errors
/// When the kernel cannot be asked or refuses.
pub fn remove(kernel: &mut dyn Kernel, config: &Config) -> Result<Removed, ApplyError> {
    let Some(in_force) = kernel.outline(&config.table)? else {
        return Ok(Removed::NotThere);
    };
    if let Some(found) = in_force.foreign() {
        return Ok(Removed::OfOthers { found });
    }
    let mut transaction = Transaction::new(config.table.clone());
    transaction.delete(Target::Table);
    kernel.apply(&transaction)?;
    Ok(Removed::Gone)
}
