//! Arguments of the commands for shells, manuals and editors: `completions`, `man`, `schema`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::Shell;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell that completes.
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct Man {
    /// Write a page for each command into this folder, instead of printing nopal's own.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub struct Schema {
    /// What the schema is of; without it, the names are listed.
    #[arg(value_enum, value_name = "NAME")]
    pub name: Option<Schemas>,
}

/// What there are schemas of: the JSON that commands print, and the one kind that is nopal's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Schemas {
    /// `nopal lint --format json`.
    Lint,
    /// `nopal rule --format json`.
    Rule,
    /// `nopal rules --format json`.
    Rules,
    /// `nopal explain --format json`.
    Explain,
    /// `nopal matrix --format json`.
    Matrix,
    /// `nopal matrix --group --format json`.
    MatrixGroups,
    /// `nopal diff --format json`.
    Diff,
    /// `nopal exposure --format json`.
    Exposure,
    /// `nopal query --format json`.
    Query,
    /// `nopal equiv --format json`.
    Equiv,
    /// `nopal coverage --format json`.
    Coverage,
    /// `nopal graph --format json`.
    Graph,
    /// `nopal suggest --format json`.
    Suggest,
    /// `nopal test --format json`.
    Test,
    /// `nopal demo --format json`.
    Demo,
    /// `nopal status --format json`.
    Status,
    /// Each line of `nopal watch-denied --format json`.
    WatchDenied,
    /// `nopal rollout --format json`.
    Rollout,
    /// The files that `nopal test` reads.
    ConnectivityTest,
}
