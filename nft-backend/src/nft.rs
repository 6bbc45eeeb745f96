//! The kernel behind the `nft` program: the only place that starts a process.

use std::ffi::{OsStr, OsString};
use std::mem;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;

use crate::class_counters::ClassCounts;
use crate::conntrack;
use crate::generation::MarkBits;
use crate::in_force::{Counted, InForce};
use crate::kernel::{ApplyError, Kernel, NftVersion};
use crate::listing;
use crate::names::Name;
use crate::passage;
use crate::process::{self, Finished, ProcessError};
use crate::rule_counters::RuleCounts;
use crate::senders::Senders;
use crate::transaction::Transaction;

/// A hundred times what a full load of 100,000 elements takes on a slow machine; nft waits for
/// nothing but the kernel, so a longer time means that something is stuck.
const LIMIT: Duration = Duration::from_secs(60);
const FAMILY: &str = "inet";
const NFT: &str = "nft";
const NSENTER: &str = "nsenter";
/// Where `ip netns` mounts the namespaces that it gives names to.
const NAMED_NAMESPACES: &str = "/run/netns";
/// How nft begins to tell that a command cannot be carried out, and what follows where the kernel said so.
const NFT_ERROR: &str = "Error: ";
const KERNEL_ERROR: &str = "Could not process rule: ";
/// How a shell and nsenter end when there is no such program.
const NOT_FOUND: i32 = 127;

/// The tables of one network namespace, through the `nft` program.
#[derive(Debug, Clone)]
pub struct Nft {
    program: PathBuf,
    namespace: Option<PathBuf>,
    limit: Duration,
    senders: Senders,
}

impl Default for Nft {
    fn default() -> Self {
        Self::new()
    }
}

impl Nft {
    /// The tables of the namespace that this program runs in.
    pub fn new() -> Self {
        Self {
            program: PathBuf::from(NFT),
            namespace: None,
            limit: LIMIT,
            senders: Senders::default(),
        }
    }

    /// The tables of the namespace at this path, such as `/proc/PID/ns/net`, or with this name, as
    /// `ip netns list` shows it.
    #[must_use]
    pub fn in_namespace(self, namespace: impl AsRef<Path>) -> Self {
        Self {
            namespace: Some(namespace_path(namespace.as_ref())),
            ..self
        }
    }

    /// The path of the namespace; `None` is the one that this program runs in.
    pub(crate) fn namespace(&self) -> Option<&Path> {
        self.namespace.as_deref()
    }

    /// Another program in place of `nft` from the search path.
    #[must_use]
    pub fn with_program(self, program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            ..self
        }
    }

    /// Another time for one run in place of 60 seconds.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// The version of the program, which must be new enough.
    pub fn version(&self) -> Result<NftVersion, ApplyError> {
        let finished = self.run(&["--version"], &[])?;
        let text = String::from_utf8_lossy(&finished.stdout);
        let reason = || format!("no version in {text:?}");
        let found = NftVersion::parse(&text)
            .ok_or_else(|| ApplyError::NotUnderstood { reason: reason() })?;
        let needed = NftVersion::NEEDED;
        if found < needed {
            Err(ApplyError::NftTooOld { found, needed })
        } else {
            Ok(found)
        }
    }

    /// How much our rules have denied and audited since the table was made; `None` when there is no such table.
    pub fn counted(&self, table: &Name) -> Result<Option<Counted>, ApplyError> {
        let listed = self.list_counters(table)?;
        listed
            .map(|listed| listing::parse_counted(&listed))
            .transpose()
    }

    /// What the classes of the table have counted; `None` when there is no such table.
    pub fn class_counts(&self, table: &Name) -> Result<Option<ClassCounts>, ApplyError> {
        let counts = self.counts(table)?;
        Ok(counts.map(|(of_classes, _)| of_classes))
    }

    /// What the classes of the table have counted, and its rules where packets are counted for them; `None` when there is
    /// no such table.
    pub fn counts(&self, table: &Name) -> Result<Option<(ClassCounts, RuleCounts)>, ApplyError> {
        let listed = self.list_counters(table)?;
        listed
            .map(|listed| listing::parse_counts(&listed))
            .transpose()
    }

    fn list_counters(&self, table: &Name) -> Result<Option<Vec<u8>>, ApplyError> {
        let arguments = ["-j", "list", "counters", "table", FAMILY, table.as_str()];
        match self.run(&arguments, &[]) {
            Ok(finished) => Ok(Some(finished.stdout)),
            Err(error) if is_nothing_there(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells whether this text would be carried out, and changes nothing.
    pub(crate) fn check_text(&self, text: &str) -> Result<(), ApplyError> {
        self.run(&["-c", "-f", "-"], text.as_bytes()).map(|_| ())
    }

    /// Carries out a transaction that was kept as the text of [`Transaction::to_json`], as a whole or not at all.
    pub fn apply_saved(&mut self, json: &[u8]) -> Result<(), ApplyError> {
        self.run(&["-j", "-f", "-"], json).map(|_| ())
    }

    /// Carries out lines of nft's language, as a whole or not at all: for the tables beside that of the policies.
    pub(crate) fn run_script(&self, script: &str) -> Result<(), ApplyError> {
        self.run(&["-f", "-"], script.as_bytes()).map(|_| ())
    }

    /// A table as nft lists it, without what its counters count; `None` when it is not there.
    pub(crate) fn list_text(
        &self,
        family: &str,
        table: &str,
    ) -> Result<Option<String>, ApplyError> {
        match self.run(&["-s", "list", "table", family, table], &[]) {
            Ok(finished) => Ok(Some(String::from_utf8_lossy(&finished.stdout).into_owned())),
            Err(error) if is_nothing_there(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Runs nft with these arguments and this input.
    fn run(&self, arguments: &[&str], input: &[u8]) -> Result<Finished, ApplyError> {
        self.run_as(arguments, input, |_| {})
    }

    /// The same; `started` is told the number of its process.
    fn run_as(
        &self,
        arguments: &[&str],
        input: &[u8],
        started: impl FnOnce(u32),
    ) -> Result<Finished, ApplyError> {
        let (program, arguments) = self.command_line(arguments)?;
        let finished = process::run(&program, &arguments, input, self.limit, started);
        let finished = finished.map_err(|error| self.explain_start(error, &program))?;
        if finished.success {
            Ok(finished)
        } else {
            Err(self.explain_failure(&finished))
        }
    }

    /// Runs nft to list our table, which may not be there.
    fn listed(&self, arguments: &[&str]) -> Result<Option<InForce>, ApplyError> {
        match self.run(arguments, &[]) {
            Ok(finished) => listing::parse(&finished.stdout).map(Some),
            Err(error) if is_nothing_there(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `nft ...`, or in another namespace `nsenter --net=PATH nft ...`. nsenter replaces itself
    /// by nft, so killing it kills nft.
    fn command_line(&self, arguments: &[&str]) -> Result<(OsString, Vec<OsString>), ApplyError> {
        let arguments = arguments.iter().map(OsString::from);
        let Some(path) = &self.namespace else {
            return Ok((self.program.clone().into(), arguments.collect()));
        };
        if !path.exists() {
            return Err(ApplyError::NoNamespace { path: path.clone() });
        }
        let mut enter = OsString::from("--net=");
        enter.push(path);
        let before = [enter, self.program.clone().into()];
        Ok((
            NSENTER.into(),
            before.into_iter().chain(arguments).collect(),
        ))
    }

    fn explain_start(&self, error: ProcessError, program: &OsStr) -> ApplyError {
        match error {
            ProcessError::NotFound => ApplyError::NftMissing {
                program: program.into(),
                needed: NftVersion::NEEDED,
            },
            ProcessError::TimedOut => ApplyError::TimedOut { limit: self.limit },
            ProcessError::System(error) => ApplyError::System {
                doing: "running nft",
                reason: error.to_string(),
            },
        }
    }

    fn explain_failure(&self, finished: &Finished) -> ApplyError {
        let stderr = String::from_utf8_lossy(&finished.stderr).trim().to_owned();
        if finished.code.is_none() {
            return ApplyError::Killed;
        }
        if finished.code == Some(NOT_FOUND) && self.namespace.is_some() {
            return ApplyError::NftMissing {
                program: self.program.clone(),
                needed: NftVersion::NEEDED,
            };
        }
        if stderr.contains("Operation not permitted") || stderr.contains("Permission denied") {
            return ApplyError::NotPermitted { stderr };
        }
        ApplyError::Refused { stderr }
    }
}

/// The path of a network namespace that is given by its name or its path.
pub(crate) fn namespace_path(namespace: &Path) -> PathBuf {
    let is_name = namespace.components().count() == 1 && namespace.is_relative();
    if is_name {
        Path::new(NAMED_NAMESPACES).join(namespace)
    } else {
        namespace.to_owned()
    }
}

/// Whether nft tells that the table which it should list does not exist, and not that something else is missing: its
/// first line is an error of its own, without a place in a file. Where another table has a name like it, nft offers that.
fn is_nothing_there(error: &ApplyError) -> bool {
    let ApplyError::Refused { stderr } = error else {
        return false;
    };
    let said = stderr
        .lines()
        .next()
        .and_then(|line| line.strip_prefix(NFT_ERROR));
    let said = said.map(|said| said.strip_prefix(KERNEL_ERROR).unwrap_or(said));
    let offered = said.and_then(|said| said.strip_prefix(Errno::ENOENT.desc()));
    offered
        .is_some_and(|offered| offered.is_empty() || offered.starts_with("; did you mean table "))
}

impl Kernel for Nft {
    /// The sender is ours whatever becomes of it: one that is killed may have handed its transaction over before.
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        let mut senders = mem::take(&mut self.senders);
        let json = transaction.to_json();
        let applied = self.run_as(&["-j", "-f", "-"], &json, |pid| senders.push(pid));
        self.senders = senders;
        applied.map(|_| ())
    }

    /// The kernel carries the transaction out and takes it back, so it costs as much as applying.
    fn check(&self, transaction: &Transaction) -> Result<(), ApplyError> {
        self.run(&["-c", "-j", "-f", "-"], &transaction.to_json())
            .map(|_| ())
    }

    fn list(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.listed(&["-j", "list", "table", FAMILY, table.as_str()])
    }

    fn outline(&self, table: &Name) -> Result<Option<InForce>, ApplyError> {
        self.listed(&["-j", "-t", "list", "table", FAMILY, table.as_str()])
    }

    fn clear_marks(&mut self, bits: MarkBits) -> Result<(), ApplyError> {
        conntrack::clear_marks(self.namespace.as_deref(), bits)
    }

    fn let_packets_through(&mut self) {
        passage::wait(self.namespace());
    }

    /// The kernel gives the first netlink socket of a process the number of the process as its port.
    fn take_senders(&mut self) -> Vec<u32> {
        self.senders.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_no_table(stderr: &str) -> bool {
        let stderr = stderr.to_owned();
        is_nothing_there(&ApplyError::Refused { stderr })
    }

    /// What nft 1.0.6 printed for `list table` and `list counters table`, in namespaces without the table and with one of
    /// another family; and the words of those that have the kernel look for the table.
    #[test]
    fn a_table_that_is_not_there_is_told_by_nft_itself() {
        for stderr in [
            "Error: No such file or directory\nlist table inet nopal\n                ^^^^^",
            "Error: No such file or directory; did you mean table ‘nopal’ in family ip?\n\
             list counters table inet nopal\n                         ^^^^^",
            "Error: Could not process rule: No such file or directory\nlist table inet nopal\n                ^^^^^",
        ] {
            assert!(is_no_table(stderr), "{stderr}");
        }
    }

    #[test]
    fn what_else_is_missing_is_no_missing_table() {
        for stderr in [
            "nft: error while loading shared libraries: libnftables.so.1: cannot open shared object file: No such file \
             or directory",
            "nsenter: cannot open /run/netns/nowt: No such file or directory",
            "nsenter: failed to execute /nowhere/nft: No such file or directory",
            "/dev/stdin:1:26-26: Error: No such file or directory\ndelete element inet nopal s { 1 }",
            "Error: cache initialization failed: No such file or directory",
            "",
        ] {
            assert!(!is_no_table(stderr), "{stderr}");
        }
    }
}
