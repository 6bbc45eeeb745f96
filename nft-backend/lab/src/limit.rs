//! How many sockets the process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::LabError;

/// Raises the soft limit of open files to the hard one, for the whole process, and gives it.
pub(crate) fn raise_open_files() -> Result<u64, LabError> {
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(LabError::io("read the limit of open files"))?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
            .map_err(LabError::io("raise the limit of open files"))?;
    }
    Ok(hard)
}
