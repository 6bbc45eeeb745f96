//! Rules between the kernel and the disk.

use nft_backend::digest::Digest;

use crate::dataplane::Copied;
use crate::state::{StateError, Store};

/// Rules on their way to the disk.
#[derive(Debug)]
pub struct Unsaved {
    pub(super) store: Store,
    pub(super) rules: Copied,
}

impl Unsaved {
    /// Writes them; gives what is to be [noted](super::Enforcer::note_saved).
    ///
    /// # Errors
    /// When the file system refuses; what was on disk stays there.
    pub fn write(self) -> Result<Digest, StateError> {
        let digest = self.rules.digest();
        self.store.write(&self.rules.saved())?;
        Ok(digest)
    }
}
