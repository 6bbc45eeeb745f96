//! Sockets of another network namespace.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::thread;

use nix::sched::{CloneFlags, setns};

/// Does something in the network namespace at this path, or in that of this program. A namespace
/// belongs to a thread, so one thread enters it and ends; a socket that it opens stays in it.
pub(crate) fn in_namespace<T: Send + 'static>(
    namespace: Option<&Path>,
    open: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let Some(path) = namespace else {
        return open();
    };
    let file = File::open(path)?;
    let opening = thread::spawn(move || {
        setns(file.as_fd(), CloneFlags::CLONE_NEWNET)?;
        open()
    });
    opening
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the opening thread panicked")))
}
