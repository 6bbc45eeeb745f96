//! A program in a network namespace, with its output in a file. It is killed when it is dropped.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::kill;
use nix::unistd::Pid;
use nopal_lab::Namespace;

pub use nix::sys::signal::Signal;

use crate::HarnessError;

/// How much of a log an error shows.
const TAIL: usize = 3_000;

/// A running program.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` in `namespace`; what it says is added to the file `log`.
    pub fn start(
        namespace: &Namespace,
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        log: &Path,
    ) -> Result<Self, HarnessError> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.map_err(HarnessError::io(format!("open {}", log.display())))?;
        let errors = file.try_clone().map_err(HarnessError::io("share a log"))?;
        let child = command(namespace, program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn();
        let child = child.map_err(HarnessError::io(format!("start {}", program.display())))?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: Signal) -> Result<(), HarnessError> {
        let sent = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
        sent.map_err(|error| HarnessError::io("send a signal")(error.into()))
    }

    /// Waits for its end; gives whether it went well.
    pub fn wait(&mut self) -> Result<bool, HarnessError> {
        let ended = self
            .child
            .wait()
            .map_err(HarnessError::io("wait for a program"))?;
        Ok(ended.success())
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Everything that was written to its log, also by those before it.
    pub fn log(&self) -> String {
        fs::read(&self.log).map_or_else(
            |error| error.to_string(),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// The end of it.
    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let start = log.len().saturating_sub(TAIL);
        let start = (start..=log.len()).find(|&at| log.is_char_boundary(at));
        log[start.unwrap_or(log.len())..].to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `program` in the namespace: nsenter becomes the program, so its id is the program's.
pub(crate) fn command(namespace: &Namespace, program: &Path) -> Command {
    let mut enter = std::ffi::OsString::from("--net=");
    enter.push(namespace.path());
    let mut command = Command::new("nsenter");
    command.arg(enter).arg(program);
    command
}
