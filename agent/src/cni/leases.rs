//! Attachments on disk, so that the next process of the agent knows the addresses that this one was told.
//!
//! The file is replaced as a whole and outlives the process. It need not outlive a loss of power, after which no
//! sandbox is left: so nothing is flushed, and an ADD does not wait for a disk.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nopal_cni::protocol::Attachment;
use serde::{Deserialize, Serialize};

use crate::state::StateError;

/// The file's name in the state directory.
const FILE: &str = "attachments";

/// The version of the file's shape.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Written<A> {
    version: u32,
    attachments: A,
}

/// The attachments of one agent on disk.
#[derive(Debug, Clone)]
pub struct Leases {
    path: PathBuf,
}

impl Leases {
    /// The file in this state directory, which is made with the first [`write`](Self::write).
    pub fn new(directory: &Path) -> Self {
        let path = directory.join(FILE);
        Self { path }
    }

    /// What was written last; nothing when nothing was.
    ///
    /// # Errors
    /// When it cannot be read or is not as it was written. The API shows the addresses, only later.
    pub fn read(&self) -> Result<Vec<Attachment>, StateError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(self.io("read", source)),
        };
        let written: Written<Vec<Attachment>> =
            serde_json::from_slice(&bytes).map_err(|_| StateError::Damaged {
                path: self.path.clone(),
                reason: "it is not the JSON that was written",
            })?;
        if written.version != VERSION {
            let path = self.path.clone();
            return Err(StateError::OtherVersion { path });
        }
        Ok(written.attachments)
    }

    /// Replaces what is written.
    pub fn write(&self, attachments: &[Attachment]) -> Result<(), StateError> {
        let written = Written {
            version: VERSION,
            attachments,
        };
        let bytes = serde_json::to_vec(&written).map_err(std::io::Error::from);
        bytes
            .and_then(|bytes| self.replace(&bytes))
            .map_err(|source| self.io("write", source))
    }

    /// Takes the file away; true when there was one.
    pub fn remove(&self) -> Result<bool, StateError> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(self.io("remove", source)),
        }
    }

    fn replace(&self, bytes: &[u8]) -> std::io::Result<()> {
        if let Some(directory) = self.path.parent() {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(directory)?;
        }
        let temporary = self.path.with_extension("new");
        let mut options = fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&temporary)?.write_all(bytes)?;
        fs::rename(&temporary, &self.path)
    }

    fn io(&self, doing: &'static str, source: std::io::Error) -> StateError {
        let path = self.path.clone();
        StateError::Io {
            doing,
            path,
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::overlay::tests::attachment;

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let leases = Leases::new(&directory.path().join("state"));
        assert!(leases.read().unwrap().is_empty());
        let all = [attachment("web", "u", "c1", "10.0.0.1")];
        leases.write(&all).unwrap();
        assert_eq!(leases.read().unwrap(), all);
        fs::write(&leases.path, b"{\"version\":1,\"attach").unwrap();
        let error = leases.read().unwrap_err();
        assert!(matches!(error, StateError::Damaged { .. }), "{error}");
        fs::write(&leases.path, b"{\"version\":9,\"attachments\":[]}").unwrap();
        let error = leases.read().unwrap_err();
        assert!(matches!(error, StateError::OtherVersion { .. }), "{error}");
        leases.write(&all).unwrap();
        assert!(leases.remove().unwrap() && !leases.remove().unwrap());
    }
}
