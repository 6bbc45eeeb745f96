//! Files of the CNI: read with care, and replaced as a whole, so that a reader finds the old or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// How long a configuration may be.
const MAX: u64 = 1024 * 1024;

/// What the runtime reads, by the ends of its names.
const EXTENSIONS: [&str; 3] = ["conf", "conflist", "json"];

/// The file system refused, or the file is not one that is touched.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {path}: {source}")]
pub struct FileError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// What was tried, with which file, and why it failed.
    pub fn new(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}

/// A file as it was read.
#[derive(Debug, Clone)]
pub struct Text {
    /// What stands in it.
    pub content: String,
    mode: u32,
    owner: (u32, u32),
    identity: Identity,
}

/// Tells whether a file was written since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// The configurations in a directory, in the runtime's order: by name.
pub fn configurations(directory: &Path) -> Result<Vec<PathBuf>, FileError> {
    let failed = |source| FileError::new("list", directory, source);
    let mut found = Vec::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let is_directory = path.is_dir();
        if extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) && !is_directory {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Reads a file. A symbolic link is not followed: whatever it points to may be anybody's, and to replace the link
/// would break what somebody arranged.
pub fn read(path: &Path) -> Result<Text, FileError> {
    let failed = |source| FileError::new("read", path, source);
    let refused = |reason: &str| failed(io::Error::new(ErrorKind::InvalidInput, reason.to_owned()));
    let mut options = OpenOptions::new();
    // A pipe of that name must not make us wait.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = options.read(true).custom_flags(flags.bits()).open(path);
    let file = file.map_err(|error| match error.raw_os_error() {
        Some(code) if code == nix::errno::Errno::ELOOP as i32 => {
            refused("it is a symbolic link; put a file in its place")
        }
        _ => failed(error),
    })?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(refused("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX {
        return Err(refused("it is longer than 1 MiB"));
    }
    let content = String::from_utf8(bytes).map_err(|_| refused("it is not UTF-8"))?;
    Ok(Text {
        content,
        mode: metadata.permissions().mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        identity: Identity::of(&metadata),
    })
}

/// Replaces a file that was read as `before`, with its mode and owner.
///
/// # Errors
/// Also when somebody else has written it since.
pub fn replace(path: &Path, content: &str, before: &Text) -> Result<(), FileError> {
    let temporary = write_beside(path, content, before)?;
    let now = fs::symlink_metadata(path).map(|metadata| Identity::of(&metadata));
    if !now.is_ok_and(|now| now == before.identity) {
        let _ = fs::remove_file(&temporary);
        let source = io::Error::other("somebody else wrote it meanwhile; it is tried again");
        return Err(FileError::new("replace", path, source));
    }
    rename(&temporary, path)
}

/// Makes a file with the mode and owner of another one, or replaces it.
pub fn create(path: &Path, content: &str, like: &Text) -> Result<(), FileError> {
    let temporary = write_beside(path, content, like)?;
    rename(&temporary, path)
}

/// Gives a file another name in its directory, in place of what has it.
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(|source| FileError::new("rename", from, source))
}

/// Whether something has this name.
pub fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Copies a program, unless it is there already; true when it was copied. One that runs is not disturbed.
pub fn copy_program(from: &Path, to: &Path) -> Result<bool, FileError> {
    let bytes = fs::read(from).map_err(|source| FileError::new("read", from, source))?;
    let is_same = |there: Vec<u8>| there == bytes;
    let is_runnable = |metadata: fs::Metadata| metadata.permissions().mode() & 0o111 == 0o111;
    if fs::read(to).is_ok_and(is_same) && fs::metadata(to).is_ok_and(is_runnable) {
        return Ok(false);
    }
    if let Some(directory) = to.parent() {
        let made = fs::create_dir_all(directory);
        made.map_err(|source| FileError::new("make", directory, source))?;
    }
    let temporary = beside(to);
    write(&temporary, &bytes, 0o755, None)?;
    rename(&temporary, to)?;
    Ok(true)
}

fn write_beside(path: &Path, content: &str, like: &Text) -> Result<PathBuf, FileError> {
    let temporary = beside(path);
    write(&temporary, content.as_bytes(), like.mode, Some(like.owner))?;
    Ok(temporary)
}

/// A name in the same directory that no runtime reads.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".nopal-new");
    name.into()
}

fn write(path: &Path, bytes: &[u8], mode: u32, owner: Option<(u32, u32)>) -> Result<(), FileError> {
    let written = || -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file: File = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(bytes)?;
        // In this order: who gave a file away may not change its mode any more without another capability.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        if let Some((user, group)) = owner {
            fchown(&file, Some(user), Some(group))?;
        }
        file.sync_all()
    };
    written().map_err(|source| {
        let _ = fs::remove_file(path);
        FileError::new("write", path, source)
    })
}
