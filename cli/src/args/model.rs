//! Arguments of the commands about what policies mean: `explain`, `matrix`, `test`, `diff`, `snapshot`.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use policy_core::FlowPort;

use super::{Format, InputArguments};
use crate::grouped::Grouping;
use crate::port;
use crate::report::{diff, matrix, tests};

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
    /// Which pods to show as one. Without it each pod stands alone; a table of more than 60 pods shows namespaces.
    #[arg(long, value_enum, value_name = "BY")]
    pub group: Option<Grouping>,
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
    /// Name the rules that decided none of the tests.
    #[arg(long)]
    pub coverage: bool,
    /// How to print the results.
    #[arg(long, value_enum, default_value_t)]
    pub format: tests::Format,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// What was: a file, a folder, git:REV:PATH, or cluster:CONTEXT for a live cluster (cluster: for the current context).
    #[arg(value_name = "OLD", value_parser = Version::parse)]
    pub old: Version,
    /// What is: the same.
    #[arg(value_name = "NEW", value_parser = Version::parse)]
    pub new: Version,
    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
    /// The kubeconfig that knows the cluster.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Which changes make the exit code 1.
    #[arg(long, value_enum, default_value_t, value_name = "CHANGES")]
    pub fail_on: FailOn,
    /// How to print the changes.
    #[arg(long, value_enum, default_value_t)]
    pub format: diff::Format,
}

/// An input that can also be what a path was in a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// What lies there now.
    Path(PathBuf),
    /// What the live cluster of a context of the kubeconfig holds now; of the current one without a name.
    Cluster(Option<String>),
    /// What a revision of the git repository has there.
    Revision {
        /// The revision.
        revision: String,
        /// The path, from the current folder.
        path: PathBuf,
    },
}

impl Version {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(context) = text.strip_prefix("cluster:") {
            return Ok(Self::Cluster(
                (!context.is_empty()).then(|| context.to_owned()),
            ));
        }
        let Some(rest) = text.strip_prefix("git:") else {
            return Ok(Self::Path(text.into()));
        };
        match rest.split_once(':') {
            Some((revision, path)) if !revision.is_empty() => Ok(Self::Revision {
                revision: revision.to_owned(),
                path: if path.is_empty() { "." } else { path }.into(),
            }),
            _ => Err("write git:REV:PATH, such as git:main:policies".to_owned()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Cluster(context) => {
                write!(f, "cluster:{}", context.as_deref().unwrap_or_default())
            }
            Self::Revision { revision, path } => write!(f, "git:{revision}:{}", path.display()),
        }
    }
}

/// Which changes make `diff` fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum FailOn {
    /// Connections that are gained.
    #[default]
    Widened,
    /// Connections that are lost.
    Narrowed,
    /// Either.
    Any,
    /// No change does.
    None,
}

/// Arguments of `snapshot`.
#[derive(Debug, Args)]
pub struct Snapshot {
    /// What to read.
    #[command(flatten)]
    pub input: InputArguments,
    /// The file that holds the snapshot.
    #[arg(long, value_name = "SNAP")]
    pub file: Option<PathBuf>,
    /// Compare with the file, print what differs, and exit with 1 if anything does.
    #[arg(long, requires = "file", conflicts_with = "update")]
    pub check: bool,
    /// Write the file anew.
    #[arg(long, requires = "file")]
    pub update: bool,
}
