//! Runs a program with input and a time limit, and keeps what it says.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::LabError;
use crate::patience::patient;

/// How long one program may take. A batch of `ip` for a thousand pods takes a few seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// How a program ended.
pub(crate) struct Finished {
    /// Whether it ended with code 0.
    pub(crate) success: bool,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it complained about.
    pub(crate) stderr: String,
}

/// Starts a program with this input.
pub(crate) fn start(command: &mut Command, input: &str) -> io::Result<Child> {
    let mut child = command
        // Ctrl-C is for this process, which then wants programs to clean up.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let Some(mut pipe) = child.stdin.take() else {
        return Ok(child);
    };
    match pipe.write_all(input.as_bytes()) {
        // It ended early; its exit code and its words tell more.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(child),
    }
}

/// Waits for the end of a program, which errors call `name`. Programs here say less than a pipe holds.
pub(crate) fn finish(mut child: Child, name: &str) -> Result<Finished, LabError> {
    let success = wait(&mut child, name)?;
    let mut finished = Finished {
        success,
        stdout: String::new(),
        stderr: String::new(),
    };
    if let Some(pipe) = child.stdout.as_mut() {
        read(pipe, &mut finished.stdout, name)?;
    }
    if let Some(pipe) = child.stderr.as_mut() {
        read(pipe, &mut finished.stderr, name)?;
    }
    Ok(finished)
}

fn read(pipe: &mut impl Read, text: &mut String, name: &str) -> Result<(), LabError> {
    pipe.read_to_string(text)
        .map_err(LabError::io(format!("read from `{name}`")))?;
    Ok(())
}

/// Waits for the end; a process that does not end is killed.
fn wait(child: &mut Child, name: &str) -> Result<bool, LabError> {
    let start = Instant::now();
    loop {
        let status = child
            .try_wait()
            .map_err(LabError::io(format!("wait for `{name}`")))?;
        if let Some(status) = status {
            return Ok(status.success());
        }
        if start.elapsed() > patient(LIMIT) {
            child
                .kill()
                .map_err(LabError::io(format!("stop `{name}`")))?;
            child
                .wait()
                .map_err(LabError::io(format!("wait for `{name}`")))?;
            return Err(LabError::TimedOut {
                command: name.to_owned(),
                seconds: patient(LIMIT).as_secs(),
            });
        }
        thread::sleep(Duration::from_micros(200));
    }
}
