//! Runs `ip`, and reads settings, in a network namespace.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use super::TopologyError;
use crate::process::{self, Finished, ProcessError};

/// `ip` asks the kernel and waits for nothing else.
const LIMIT: Duration = Duration::from_secs(30);

/// How nsenter ends when there is no such program.
const NOT_FOUND: i32 = 127;

const IP_MISSING: TopologyError = TopologyError::ProgramMissing {
    program: "ip",
    package: "iproute2",
};

/// Runs `ip` with these arguments and this input, and gives how it ended, well or not.
pub(super) fn ip(
    namespace: Option<&Path>,
    arguments: &[&str],
    input: &str,
) -> Result<Finished, TopologyError> {
    let mut command: Vec<OsString> = Vec::new();
    if let Some(path) = namespace {
        if !path.exists() {
            return Err(TopologyError::NoNamespace { path: path.into() });
        }
        let mut enter = OsString::from("--net=");
        enter.push(path);
        command.extend(["nsenter".into(), enter]);
    }
    command.push("ip".into());
    command.extend(arguments.iter().map(OsString::from));
    let finished = process::run(&command[0], &command[1..], input.as_bytes(), LIMIT, |_| {});
    let finished = finished.map_err(|error| explain(error, namespace.is_some(), arguments))?;
    if finished.code == Some(NOT_FOUND) {
        return Err(IP_MISSING);
    }
    Ok(finished)
}

/// The same, where ending badly is an error. Gives what was printed.
pub(super) fn ip_well(
    namespace: Option<&Path>,
    arguments: &[&str],
) -> Result<Vec<u8>, TopologyError> {
    let finished = ip(namespace, arguments, "")?;
    if finished.success {
        return Ok(finished.stdout);
    }
    Err(TopologyError::Refused {
        command: name(arguments),
        stderr: String::from_utf8_lossy(&finished.stderr).trim().to_owned(),
    })
}

/// How errors call a run of `ip`.
pub(super) fn name(arguments: &[&str]) -> String {
    format!("ip {}", arguments.join(" "))
}

/// The text of a file below `/proc/sys/net`; `None` when there is none. What is below shows the
/// settings of the namespace of the thread that looks, so a thread of its own enters it.
pub(super) fn setting(
    namespace: Option<&Path>,
    key: &str,
) -> Result<Option<String>, TopologyError> {
    let file = format!("/proc/sys/net/{key}");
    let read = {
        let file = file.clone();
        move || match fs::read_to_string(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            text => text.map(Some),
        }
    };
    let text = match namespace.map(Path::to_path_buf) {
        None => read(),
        Some(path) => {
            if !path.exists() {
                return Err(TopologyError::NoNamespace { path });
            }
            let reading = thread::spawn(move || {
                setns(File::open(path)?, CloneFlags::CLONE_NEWNET)?;
                read()
            });
            let panicked = |_| Err(io::Error::other("the reading thread panicked"));
            reading.join().unwrap_or_else(panicked)
        }
    };
    text.map_err(|error| TopologyError::System {
        doing: format!("reading {file}"),
        reason: error.to_string(),
    })
}

fn explain(error: ProcessError, is_entered: bool, arguments: &[&str]) -> TopologyError {
    let reason = match error {
        ProcessError::NotFound if is_entered => {
            return TopologyError::ProgramMissing {
                program: "nsenter",
                package: "util-linux",
            };
        }
        ProcessError::NotFound => return IP_MISSING,
        ProcessError::TimedOut => format!("no end within {} s", LIMIT.as_secs()),
        ProcessError::System(error) => error.to_string(),
    };
    TopologyError::System {
        doing: format!("running `{}`", name(arguments)),
        reason,
    }
}
