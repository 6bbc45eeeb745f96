//! What the command prints. Nothing else writes to standard output or standard error.

mod annotations;
pub mod apply;
mod closing;
pub mod coverage;
pub mod demo;
mod demo_matrix;
pub mod denials;
pub mod diff;
mod diff_markdown;
pub mod equivalence;
pub mod explanation;
pub mod exposure;
pub mod findings;
pub(crate) mod fingerprint;
pub mod graph;
mod json_lists;
pub mod matrix;
pub mod matrix_grouped;
pub mod page;
pub mod query;
pub mod rollout;
pub mod rules;
pub mod ruleset;
mod sarif;
mod snippet;
pub mod status;
mod status_counts;
pub mod suggestion;
pub mod tests;
pub mod topology;
mod unread;
pub(crate) mod words;
mod wrap;
mod xml;

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

pub use wrap::columns;

use crate::manifest::{InputError, Manifests};

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether standard output is coloured.
    pub fn is_on(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let is_refused =
                    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                !is_refused && std::io::stdout().is_terminal()
            }
        }
    }
}

/// Whether something that was to be on standard output is not there, though somebody reads it.
static IS_LOST: AtomicBool = AtomicBool::new(false);

/// Writes to standard output. A reader that has gone away wants no more; if the output cannot be written for another
/// reason, that is told, and [`is_lost`] holds from then on.
pub fn print(text: &str) {
    let _ = try_print(text);
}

/// The same for what would go on for ever: an error says that nobody gets it.
pub fn try_print(text: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    let written = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
    written.inspect_err(lose)
}

/// Takes note of an error of standard output.
pub fn lose(error: &std::io::Error) {
    if error.kind() != ErrorKind::BrokenPipe && !IS_LOST.swap(true, Ordering::Relaxed) {
        print_error(&format!("error: cannot write to standard output: {error}"));
    }
}

/// Whether a part of the output could not be written. It has been told; the command must not end well.
pub fn is_lost() -> bool {
    IS_LOST.load(Ordering::Relaxed)
}

/// Writes lines to standard error.
pub fn print_error(text: &str) {
    let mut output = std::io::stderr().lock();
    let _ = writeln!(output, "{text}");
}

/// Says what could not be read and, when asked to, what was passed over.
pub fn input(manifests: &Manifests, is_verbose: bool) {
    for error in &manifests.errors {
        print_error(&format!("error: {error}"));
    }
    if !is_verbose {
        return;
    }
    let mut passed_over: Vec<_> = manifests.passed_over.iter().collect();
    passed_over.sort_unstable();
    for group in passed_over.chunk_by(|a, b| a == b) {
        let (kind, api_version) = (&group[0].kind, &group[0].api_version);
        print_error(&format!(
            "note: passed over {} of kind {kind} ({api_version})",
            group.len()
        ));
    }
}

/// A file's name as CI servers want it: relative to the current folder where it lies in it.
fn relative(name: &str) -> String {
    let folder = std::env::current_dir().unwrap_or_default();
    let path = Path::new(name);
    let within = path.strip_prefix(&folder).unwrap_or(path);
    let within = within.strip_prefix(".").unwrap_or(within);
    within.to_string_lossy().into_owned()
}

/// A JSON value as text that ends with a line break.
pub fn json(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

/// An input error in JSON.
pub fn input_error(error: &InputError) -> serde_json::Value {
    serde_json::json!({
        "file": error.file,
        "line": error.position.map(|position| position.line),
        "column": error.position.map(|position| position.column),
        "object": error.object.as_ref().map(ToString::to_string),
        "path": error.path.to_string(),
        "message": error.message,
    })
}

/// Writes findings to standard error, each line as a warning.
pub fn print_warnings(lines: &str) {
    for line in lines.lines() {
        print_error(&format!("warning: {line}"));
    }
}

/// `1 set`, `2 sets`
fn counted(count: usize, name: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {name}{plural}")
}
