//! The one door to iproute2: runs `ip` and reports what it refuses.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::LabError;
use crate::patience::patient;

/// How long one `ip` may take. A batch for a thousand pods takes a few seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs `lines` with `ip -batch`, in the namespace called `namespace` or in the caller's own.
/// The first line that fails ends the batch.
pub(crate) fn batch(namespace: Option<&str>, lines: &str) -> Result<(), LabError> {
    if lines.is_empty() {
        return Ok(());
    }
    let arguments: Vec<&str> = namespace.map_or(vec![], |name| vec!["-n", name]);
    let command = format!(
        "ip {}",
        [&arguments[..], &["-batch", "-"]].concat().join(" ")
    );
    let mut child = Command::new("ip")
        .args(arguments)
        .args(["-batch", "-"])
        // Ctrl-C is for this process, which then wants `ip` to clean up.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(LabError::IpMissing)?;
    write_lines(&mut child, lines).map_err(LabError::io(format!("write to `{command}`")))?;
    let ended_well = wait(&mut child, &command)?;
    let mut stderr = String::new();
    if let Some(pipe) = child.stderr.as_mut() {
        pipe.read_to_string(&mut stderr)
            .map_err(LabError::io(format!("read from `{command}`")))?;
    }
    if ended_well {
        return Ok(());
    }
    let command = failed_line(&stderr, lines).map_or(command, |line| format!("ip {line}"));
    Err(LabError::IpRefused {
        command,
        stderr: stderr.trim().replace('\n', "; "),
    })
}

fn write_lines(child: &mut Child, lines: &str) -> std::io::Result<()> {
    let Some(mut pipe) = child.stdin.take() else {
        return Ok(());
    };
    match pipe.write_all(lines.as_bytes()) {
        // It ended at a line that failed; its exit code and stderr tell more.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Waits for the end; a process that does not end is killed.
fn wait(child: &mut Child, command: &str) -> Result<bool, LabError> {
    let start = Instant::now();
    loop {
        let status = child
            .try_wait()
            .map_err(LabError::io(format!("wait for `{command}`")))?;
        if let Some(status) = status {
            return Ok(status.success());
        }
        if start.elapsed() > patient(LIMIT) {
            child
                .kill()
                .map_err(LabError::io(format!("stop `{command}`")))?;
            child
                .wait()
                .map_err(LabError::io(format!("wait for `{command}`")))?;
            let seconds = patient(LIMIT).as_secs();
            return Err(LabError::TimedOut {
                command: command.to_owned(),
                seconds,
            });
        }
        thread::sleep(Duration::from_micros(200));
    }
}

/// The line that `ip` complains of with `Command failed -:7`.
fn failed_line<'a>(stderr: &str, lines: &'a str) -> Option<&'a str> {
    let number = stderr
        .split("Command failed -:")
        .nth(1)?
        .split_whitespace()
        .next()?;
    lines
        .lines()
        .nth(number.parse::<usize>().ok()?.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_batch_names_its_failing_line() {
        let stderr = "RTNETLINK answers: File exists\nCommand failed -:2\n";
        assert_eq!(
            failed_line(stderr, "link set lo up\naddr add x\n"),
            Some("addr add x")
        );
        assert_eq!(failed_line("no number", "link set lo up\n"), None);
    }
}
