//! Named network namespaces, as `ip netns` keeps them, and how a thread gets into one.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use nix::sched::{CloneFlags, setns};

use crate::LabError;

/// Where iproute2 keeps the names.
const DIRECTORY: &str = "/run/netns";

/// One network namespace of a lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    pub(crate) fn new(name: String) -> Self {
        Self { name }
    }

    /// The name, for `ip netns exec NAME` and `ip -n NAME`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it, for `nsenter --net=PATH`.
    pub fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.name)
    }

    /// Runs `job` on a thread of its own inside the namespace and waits for it. Processes that the
    /// job starts and sockets that it opens belong to the namespace; a panic of the job goes on here.
    pub fn run<T: Send>(&self, job: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| self.enter().map(|()| job()));
            inside.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Moves the calling thread into the namespace. Only threads that end soon after may do this:
    /// there is no way back to where they came from.
    pub(crate) fn enter(&self) -> Result<(), LabError> {
        let file = File::open(self.path())
            .map_err(LabError::io(format!("open namespace `{}`", self.name)))?;
        setns(file, CloneFlags::CLONE_NEWNET)
            .map_err(LabError::io(format!("enter namespace `{}`", self.name)))
    }
}

/// The names of all namespaces on this machine, sorted.
pub(crate) fn existing_names() -> Result<Vec<String>, LabError> {
    let entries = match fs::read_dir(DIRECTORY) {
        // iproute2 makes the directory with the first namespace.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
        other => other.map_err(LabError::io(format!("list {DIRECTORY}")))?,
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}
