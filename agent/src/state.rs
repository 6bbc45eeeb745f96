//! The last good rules of this node on disk, for a boot before the API server can be reached.
//!
//! The file is replaced as a whole: a reader finds the old or the new one, whatever happens in between. Its first line
//! tells version, length and checksum of the rest, so a damaged file is noticed, told and not used.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The file's name in the state directory.
const FILE: &str = "rules";

/// What the first line begins with; another version of this program may have written another.
const MAGIC: &str = "nopal-rules 2";

/// A ruleset as the transactions that bring it into an empty kernel, as nft's JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The node that it is for.
    pub node: String,
    /// The table that it makes.
    pub table: String,
    /// The mask of the conntrack mark's bits that its rules read and write, if they do.
    pub mark_mask: Option<u32>,
    /// Makes its objects.
    pub create: String,
    /// Keeps them from reading and writing marks, where these bits are no longer ours.
    pub unmark: String,
    /// Leads packets to them.
    pub switch: String,
}

/// Why the state could not be kept or used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system refused.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not as it was written.
    #[error(
        "{path} is damaged ({reason}) and is not used; it is written anew with the next change"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: &'static str,
    },
    /// The file is of another version of this program.
    #[error(
        "{path} was written by another version and is not used; it is written anew with the next change"
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
    },
}

/// The state directory of one agent.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

impl Store {
    /// The state in this directory, which is made with the first [`write`](Self::write).
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        Self { directory }
    }

    /// What was saved last; `None` when nothing was.
    pub fn read(&self) -> Result<Option<Saved>, StateError> {
        let path = self.file();
        match fs::read(&path) {
            Ok(bytes) => parse(&bytes, &path).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io("read", &path)(source)),
        }
    }

    /// Replaces what is saved. When this returns, it survives a loss of power.
    pub fn write(&self, saved: &Saved) -> Result<(), StateError> {
        let directory = &self.directory;
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(directory);
        made.map_err(io("make", directory))?;
        let temporary = directory.join(format!("{FILE}.new"));
        write_whole(&temporary, &print(saved)).map_err(io("write", &temporary))?;
        let path = self.file();
        fs::rename(&temporary, &path).map_err(io("replace", &path))?;
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(io("write", directory))
    }

    /// Takes away what is saved; true when there was anything.
    pub fn remove(&self) -> Result<bool, StateError> {
        let mut found = false;
        for path in [self.directory.join(format!("{FILE}.new")), self.file()] {
            match fs::remove_file(&path) {
                Ok(()) => found = true,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(source) => return Err(io("remove", &path)(source)),
            }
        }
        // Somebody else may have files there; then the directory stays.
        let _ = fs::remove_dir(&self.directory);
        Ok(found)
    }

    fn file(&self) -> PathBuf {
        self.directory.join(FILE)
    }
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io {
        doing,
        path,
        source,
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn print(saved: &Saved) -> Vec<u8> {
    let body = serde_json::to_vec(saved).expect("text becomes JSON");
    let (length, checksum) = (body.len(), crc32fast::hash(&body));
    let mut bytes = format!("{MAGIC} {length} {checksum:08x}\n").into_bytes();
    bytes.extend(body);
    bytes
}

fn parse(bytes: &[u8], path: &Path) -> Result<Saved, StateError> {
    let damaged = |reason| StateError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let line_end = bytes.iter().position(|&byte| byte == b'\n');
    let (header, body) = bytes.split_at(line_end.ok_or_else(|| damaged("it has no first line"))?);
    let header = std::str::from_utf8(header).map_err(|_| damaged("its first line is no text"))?;
    let Some(sums) = header
        .strip_prefix(MAGIC)
        .and_then(|rest| rest.strip_prefix(' '))
    else {
        return Err(if header.starts_with("nopal-rules ") {
            StateError::OtherVersion {
                path: path.to_owned(),
            }
        } else {
            damaged("its first line is not ours")
        });
    };
    let body = &body[1..];
    let expected = format!("{} {:08x}", body.len(), crc32fast::hash(body));
    if sums != expected {
        return Err(damaged("its length or checksum is wrong"));
    }
    serde_json::from_slice(body).map_err(|_| damaged("it lacks a field"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Saved {
        Saved {
            node: "node-a".to_owned(),
            table: "nopal".to_owned(),
            mark_mask: Some(0xf0),
            create: "{\"nftables\":[]}".to_owned(),
            unmark: String::new(),
            switch: "{}".to_owned(),
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().join("state"));
        (directory, store)
    }

    #[test]
    fn what_is_written_is_read_and_can_be_taken_away() {
        let (_directory, store) = store();
        assert_eq!(store.read().unwrap(), None);
        store.write(&sample()).unwrap();
        assert_eq!(store.read().unwrap(), Some(sample()));
        let other = Saved {
            node: "node-b".to_owned(),
            ..sample()
        };
        store.write(&other).unwrap();
        assert_eq!(store.read().unwrap(), Some(other));
        assert!(store.remove().unwrap());
        assert!(!store.remove().unwrap());
        assert!(!store.directory.exists());
    }

    #[test]
    fn a_file_of_which_any_byte_was_changed_or_lost_is_not_used() {
        let (_directory, store) = store();
        store.write(&sample()).unwrap();
        let whole = fs::read(store.file()).unwrap();
        for position in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x20;
            fs::write(store.file(), &bytes).unwrap();
            assert!(store.read().is_err(), "byte {position}");
            fs::write(store.file(), &whole[..position]).unwrap();
            assert!(store.read().is_err(), "cut at {position}");
        }
        fs::write(store.file(), &whole).unwrap();
        assert_eq!(store.read().unwrap(), Some(sample()));
    }

    #[test]
    fn a_write_that_was_cut_off_leaves_the_old_file() {
        let (_directory, store) = store();
        store.write(&sample()).unwrap();
        fs::write(store.directory.join("rules.new"), b"nopal-rules 2 9").unwrap();
        assert_eq!(store.read().unwrap(), Some(sample()));
        store.write(&sample()).unwrap();
        assert_eq!(store.read().unwrap(), Some(sample()));
    }

    #[test]
    fn a_file_of_another_version_is_told_as_such() {
        let (_directory, store) = store();
        store.write(&sample()).unwrap();
        fs::write(store.file(), b"nopal-rules 1 0 0\n").unwrap();
        let error = store.read().unwrap_err();
        assert!(matches!(error, StateError::OtherVersion { .. }), "{error}");
    }
}
