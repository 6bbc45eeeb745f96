//! Runs a program with input and a time limit, and keeps everything that it says.

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Whether it ended with code 0.
    pub(crate) success: bool,
    /// Its code, unless a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) stdout: Vec<u8>,
    /// What it complained about.
    pub(crate) stderr: Vec<u8>,
}

/// Why a program did not end by itself.
#[derive(Debug)]
pub(crate) enum ProcessError {
    /// There is no such program.
    NotFound,
    /// It took too long and was killed.
    TimedOut,
    /// It could not be started or waited for.
    System(std::io::Error),
}

/// Between two looks whether the program has ended: at first often, as most runs take 5 ms.
const SHORTEST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// Runs the program to its end. Input and both outputs move at the same time, so that no full pipe
/// can block the program. After the limit it is killed with everything that it started. `started` is told the number
/// of its process, whatever becomes of that.
pub(crate) fn run(
    program: &OsStr,
    arguments: &[OsString],
    input: &[u8],
    limit: Duration,
    started: impl FnOnce(u32),
) -> Result<Finished, ProcessError> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").process_group(0);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => ProcessError::NotFound,
        _ => ProcessError::System(error),
    })?;
    started(child.id());
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
        unreachable!("all three pipes were asked for")
    };
    let (status, stdout, stderr) = thread::scope(|scope| {
        // A program that fails early closes its input; what it says then is the better error.
        scope.spawn(move || stdin.write_all(input));
        let stdout = scope.spawn(|| read_all(stdout));
        let stderr = scope.spawn(|| read_all(stderr));
        let status = wait(&mut child, limit);
        (status, join(stdout), join(stderr))
    });
    let status = status?;
    Ok(Finished {
        success: status.success(),
        code: status.code(),
        stdout: stdout.map_err(ProcessError::System)?,
        stderr: stderr.map_err(ProcessError::System)?,
    })
}

fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus, ProcessError> {
    let deadline = Instant::now() + limit;
    let mut pause = SHORTEST_PAUSE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(pause),
            Ok(None) => {
                kill_group(child)?;
                return Err(ProcessError::TimedOut);
            }
            Err(error) => return Err(ProcessError::System(error)),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The child leads a process group of its own, so its children go with it; otherwise one that keeps
/// the pipes open would keep us waiting.
fn kill_group(child: &mut Child) -> Result<(), ProcessError> {
    let system = |error: std::io::Error| ProcessError::System(error);
    let group = i32::try_from(child.id()).map_err(|error| system(std::io::Error::other(error)))?;
    killpg(Pid::from_raw(group), Signal::SIGKILL).map_err(|errno| system(errno.into()))?;
    child.wait().map(|_| ()).map_err(system)
}

fn read_all(mut pipe: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn join(
    reader: thread::ScopedJoinHandle<'_, std::io::Result<Vec<u8>>>,
) -> std::io::Result<Vec<u8>> {
    reader
        .join()
        .unwrap_or_else(|_| Err(std::io::Error::other("a reading thread panicked")))
}
