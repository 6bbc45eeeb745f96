//! The one door to iproute2: runs `ip` and `bridge` and reports what they refuse.

use std::process::Command;

use crate::{LabError, process};

/// A program of iproute2 that reads batches.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tool {
    /// Links, addresses, routes, neighbours.
    Ip,
    /// Forwarding entries.
    Bridge,
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Bridge => "bridge",
        }
    }
}

/// Runs `lines` with `ip -batch`, in the namespace called `namespace` or in the caller's own.
/// The first line that fails ends the batch.
pub(crate) fn batch(namespace: Option<&str>, lines: &str) -> Result<(), LabError> {
    batch_of(Tool::Ip, namespace, lines)
}

/// The same with another tool.
pub(crate) fn batch_of(tool: Tool, namespace: Option<&str>, lines: &str) -> Result<(), LabError> {
    if lines.is_empty() {
        return Ok(());
    }
    let program = tool.name();
    let mut arguments: Vec<&str> = namespace.map_or(vec![], |name| vec!["-n", name]);
    arguments.extend(["-batch", "-"]);
    let command = format!("{program} {}", arguments.join(" "));
    let child = process::start(Command::new(program).args(arguments), lines)
        .map_err(LabError::IpMissing)?;
    let finished = process::finish(child, &command)?;
    if finished.success {
        return Ok(());
    }
    let stderr = finished.stderr;
    let command = failed_line(&stderr, lines).map_or(command, |line| format!("{program} {line}"));
    Err(LabError::IpRefused {
        command,
        stderr: stderr.trim().replace('\n', "; "),
    })
}

/// The line that is complained of with `Command failed -:7`.
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
