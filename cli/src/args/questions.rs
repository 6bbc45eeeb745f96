//! Arguments of the questions about a whole input: `exposure`, `query`, `equiv`, `coverage`, `suggest`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use policy_core::FlowPort;

use super::{Format, InputArguments, Version};
use crate::port;
use crate::questions::exposure::Level;
use crate::questions::selection::Selection;
use crate::report::suggestion;

/// Arguments of `exposure`.
#[derive(Debug, Args)]
pub struct Exposure {
    /// What to read.
    #[command(flatten)]
    pub input: InputArguments,
    /// Only what is received, or only what is opened.
    #[arg(long, value_enum, value_name = "DIRECTION")]
    pub direction: Option<OneDirection>,
    /// Exit with 1 if anything is open to one of these.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "AUDIENCES")]
    pub fail_on: Vec<Level>,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// A direction on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OneDirection {
    /// What pods receive.
    Ingress,
    /// What pods open.
    Egress,
}

impl From<OneDirection> for policy_core::Direction {
    fn from(direction: OneDirection) -> Self {
        match direction {
            OneDirection::Ingress => Self::Ingress,
            OneDirection::Egress => Self::Egress,
        }
    }
}

/// Arguments of `query`.
#[derive(Debug, Args)]
pub struct Query {
    /// What to read.
    #[command(flatten)]
    pub input: InputArguments,
    /// Who opens the connections.
    #[arg(long, value_name = "END", value_parser = Selection::parse)]
    pub from: Selection,
    /// Whom to.
    #[arg(long, value_name = "END", value_parser = Selection::parse)]
    pub to: Selection,
    /// Only this port: 80/TCP, 53/UDP, or icmp for protocols without ports.
    #[arg(long, value_name = "PORT", value_parser = port::parse)]
    pub port: Option<FlowPort>,
    /// Nothing must connect: exit with 1 if anything does.
    #[arg(long)]
    pub not: bool,
    /// Only pods that the input holds.
    #[arg(long)]
    pub known: bool,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `equiv`.
#[derive(Debug, Args)]
pub struct Equiv {
    /// One input: a file, a folder, git:REV:PATH, or cluster:CONTEXT for a live cluster (cluster: for the current context).
    #[arg(value_name = "A", value_parser = Version::parse)]
    pub one: Version,
    /// The other: the same.
    #[arg(value_name = "B", value_parser = Version::parse)]
    pub other: Version,
    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
    /// The kubeconfig that knows the cluster.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// For which pods the inputs must mean the same.
    #[arg(long, value_enum, default_value_t, value_name = "PODS")]
    pub scope: Scope,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// For which pods two inputs must mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Scope {
    /// For pods and namespaces with any labels.
    #[default]
    Any,
    /// For the pods that the inputs hold, and those that their policies speak of.
    Input,
}

/// Arguments of `coverage`.
#[derive(Debug, Args)]
pub struct Coverage {
    /// What to read.
    #[command(flatten)]
    pub input: InputArguments,
    /// Only this direction.
    #[arg(long, value_enum, value_name = "DIRECTION")]
    pub direction: Option<OneDirection>,
    /// Exit with 1 if fewer of a hundred pods are isolated.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub min: Option<u8>,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `suggest`.
#[derive(Debug, Args)]
pub struct Suggest {
    /// What to read: the pods, and the policies that there are.
    #[command(flatten)]
    pub input: InputArguments,
    /// The flows to admit: a file, or - for standard input.
    #[arg(long, value_name = "FILE")]
    pub flows: PathBuf,
    /// What becomes of pods of the flows that no policy isolates yet. Absent: both where no policy isolates any pod of
    /// the input, none otherwise.
    #[arg(long, value_enum, value_name = "DIRECTIONS")]
    pub isolate: Option<Isolate>,
    /// How to print the policies.
    #[arg(long, value_enum, default_value_t)]
    pub format: suggestion::Format,
}

/// In which directions pods are isolated that no policy isolates yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Isolate {
    /// Neither: they stay open.
    None,
    /// They receive only what the flows say.
    Ingress,
    /// They open only what the flows say.
    Egress,
    /// Both.
    Both,
}
