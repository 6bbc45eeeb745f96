//! Writes what is in force to disk beside the sync, so that no change waits for a disk.

use std::future::pending;

use nft_backend::digest::Digest;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::enforcer::Unsaved;
use crate::state::StateError;

/// At most one write at a time.
#[derive(Debug, Default)]
pub(super) struct Saver(Option<JoinHandle<Result<Digest, StateError>>>);

impl Saver {
    /// Begins to write, if there is anything. Nothing else may be on its way then.
    pub(super) fn write(&mut self, unsaved: Option<Unsaved>) {
        if let Some(unsaved) = unsaved {
            self.0 = Some(spawn_blocking(move || unsaved.write()));
        }
    }

    /// Whether something is on its way.
    pub(super) fn is_busy(&self) -> bool {
        self.0.is_some()
    }

    /// Waits until what is on its way is written, for ever when nothing is; gives what was written, or `None` when that
    /// should be tried again.
    pub(super) async fn ends(&mut self) -> Result<Option<Digest>, JoinError> {
        let Some(writing) = &mut self.0 else {
            return pending().await;
        };
        let written = writing.await;
        self.0 = None;
        let told = |error| tracing::warn!(%error, "the rules are not saved for the next boot; it is tried again");
        Ok(written?.map_err(told).ok())
    }

    /// Waits until nothing is on its way.
    pub(super) async fn drain(&mut self) -> Result<(), JoinError> {
        if self.is_busy() {
            self.ends().await?;
        }
        Ok(())
    }
}
