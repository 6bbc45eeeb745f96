//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use policy_core::FlowPort;

use crate::port;
use crate::report::{Color, findings, matrix, ruleset};

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
    /// Tell whether a connection passes, and why.
    Explain(Explain),
    /// Show who reaches whom on what.
    Matrix(Matrix),
    /// Check connections against what `ConnectivityTest` files expect.
    Test(Test),
    /// Print the nftables ruleset of a node.
    Render(Render),
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
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
    pub format: findings::Format,
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

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// What to read.
    #[command(flatten)]
    pub input: InputArguments,
    /// Who opens the connection: namespace/pod, namespace/Kind/name, or an address.
    #[arg(long, value_name = "END")]
    pub from: String,
    /// Whom to.
    #[arg(long, value_name = "END")]
    pub to: String,
    /// On which port: 80/TCP, 53/UDP, or icmp for protocols without ports.
    #[arg(long, value_name = "PORT", value_parser = port::parse)]
    pub port: FlowPort,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `matrix`.
#[derive(Debug, Args)]
pub struct Matrix {
    /// What to read.
    #[command(flatten)]
    pub input: InputArguments,
    /// Only this port: 80/TCP, 53/UDP, or icmp for protocols without ports.
    #[arg(long, value_name = "PORT", value_parser = port::parse)]
    pub port: Option<FlowPort>,
    /// How to print the matrix.
    #[arg(long, value_enum, default_value_t)]
    pub format: matrix::Format,
}

/// Arguments of `test`.
#[derive(Debug, Args)]
pub struct Test {
    /// What to read.
    #[command(flatten)]
    pub input: InputArguments,
    /// The files with the tests.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub tests: Vec<PathBuf>,
    /// How to print the results.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `render`.
#[derive(Debug, Args)]
pub struct Render {
    /// What to read.
    #[command(flatten)]
    pub input: InputArguments,
    /// The node whose pods the ruleset protects.
    #[arg(long)]
    pub node: String,
    /// How to print the ruleset.
    #[arg(long, value_enum, default_value_t)]
    pub format: ruleset::Format,
}
