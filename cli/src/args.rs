//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::report::{Color, Format};

/// Kubernetes network policies: lint, explain, test, and enforce them alongside any CNI.
#[derive(Debug, Parser)]
#[command(name = "nopal", version, arg_required_else_help = true)]
pub struct Arguments {
    /// When to colour the output.
    #[arg(long, value_enum, default_value_t, global = true)]
    pub color: Color,
    /// Say more, such as which objects were passed over.
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Report what is wrong with policies.
    Lint(Lint),
}

/// What to read.
#[derive(Debug, Args)]
pub struct InputArguments {
    /// Files, folders (all .yaml, .yml and .json files in them), or - for standard input.
    #[arg(required = true, value_name = "PATHS")]
    pub paths: Vec<PathBuf>,
    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
}

/// Arguments of `lint`.
#[derive(Debug, Args)]
pub struct Lint {
    /// What to read.
    #[command(flatten)]
    pub input: InputArguments,
    /// How to print findings.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Run only these rules (codes or prefixes of codes).
    #[arg(long, value_delimiter = ',', value_name = "CODES")]
    pub select: Vec<String>,
    /// Do not run these rules (codes or prefixes of codes).
    #[arg(long, value_delimiter = ',', value_name = "CODES")]
    pub ignore: Vec<String>,
    /// Exit with 0 even when there are findings.
    #[arg(long)]
    pub exit_zero: bool,
}
