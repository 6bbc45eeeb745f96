//! The command line.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use nft_backend::config::Log;
use policy_core::FlowPort;

use crate::demo::Wiring;
use crate::lint::{Certainty, Profile};
use crate::port;
use crate::report::{Color, diff, findings, matrix, ruleset, tests};

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
    /// Explain a rule of lint: what it finds, why it matters, what to use instead.
    Rule(Rule),
    /// List the rules of lint.
    Rules(Rules),
    /// Tell whether a connection passes, and why.
    Explain(Explain),
    /// Show who reaches whom on what.
    Matrix(Matrix),
    /// Check connections against what `ConnectivityTest` files expect.
    Test(Test),
    /// Show which connections are gained and lost between two inputs.
    ///
    /// OLD and NEW are files, folders, - for standard input, or git:REV:PATH. Both are compared over the same pods: those that
    /// appear or vanish are listed and do not count. Names in brackets are pods that no input has, but that policies hold for.
    Diff(Diff),
    /// Write what policies mean as a stable text, to commit and to compare with.
    ///
    /// Without --file it is printed; without --check or --update the file is written if there is none.
    Snapshot(Snapshot),
    /// Print the nftables rules of a node.
    ///
    /// Only addresses that the objects state count: a pod without `status.podIPs` is in no rule. Standard output is the
    /// same for the same input.
    Render(Render),
    /// Put the rules of a node in force in this machine's kernel.
    ///
    /// The rules come into force in one step, and standing connections that they deny are cut.
    ///
    /// What the API server would refuse in a policy is enforced closed: it is told as a warning, the rules are applied,
    /// and the exit code is 1. If a file, a Pod or a Node cannot be read, a policy or a pod could be missing, so nothing
    /// is applied, and the exit code is 2; it is 2 as well when the kernel refuses.
    ///
    /// Needs root and nft (package nftables).
    Apply(Apply),
    /// Show what is in force, and how it differs from what policies mean.
    ///
    /// With PATHS and --node, what is in force is compared with what the policies mean; the exit code is 1 if it differs.
    Status(Status),
    /// Take away what is in force.
    ///
    /// From then on every pod is reachable. The policies of other programs stay in force.
    Flush(Flush),
    /// Tell about each packet that the policies deny, or would deny if they were enforced.
    ///
    /// It listens to what the rules in force tell by nflog: of each class of pods, direction and way at most 10 packets a
    /// second after a burst of 20; `nopal status` counts all of them. With PATHS, which should be what was applied, pods
    /// and the policies that isolate them have their names. It ends at Ctrl-C.
    ///
    /// Needs root. One program at a time can listen in a network namespace.
    WatchDenied(WatchDenied),
    /// Show with real packets that policies do what they mean, in a cluster of network namespaces.
    ///
    /// Each node becomes a network namespace with its own ruleset in force, each pod a namespace behind its node. Every
    /// pair of them is tried on every port that policies or pods mention, in both address families, and compared with what
    /// the policies mean. Without PATHS it shows a small web shop. All of it is taken away at the end, also after Ctrl-C.
    ///
    /// Needs root, nft (package nftables) and ip (package iproute2). Exit code 1 when anything disagrees.
    Demo(Demo),
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
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct Lint {
    /// What to read.
    #[command(flatten)]
    pub input: InputArguments,
    /// How to print findings.
    #[arg(long, value_enum, default_value_t)]
    pub format: findings::Format,
    /// Write findings to a file too, such as sarif=nopal.sarif; may be given several times.
    #[arg(long, value_name = "FORMAT=FILE", value_parser = OutputFile::parse)]
    pub output_file: Vec<OutputFile>,
    /// Run only these rules (codes or prefixes of codes).
    #[arg(long, value_delimiter = ',', value_name = "CODES")]
    pub select: Vec<String>,
    /// Do not run these rules (codes or prefixes of codes).
    #[arg(long, value_delimiter = ',', value_name = "CODES")]
    pub ignore: Vec<String>,
    /// How sure a finding must be.
    #[arg(long, value_enum, default_value_t)]
    pub certainty: Surety,
    /// The input is only a part of the cluster: what holds for a whole cluster alone becomes information.
    #[arg(long)]
    pub open_world: bool,
    /// The network plugin that enforces the policies: judge by its ways too.
    #[arg(long, value_enum, value_name = "PLUGIN")]
    pub profile: Option<Profile>,
    /// Print information as well; JSON and SARIF always hold it.
    #[arg(long)]
    pub show_info: bool,
    /// Make the safe fixes: those after which the policy means the same, or what is plainly written. Comments and layout
    /// stay.
    #[arg(long)]
    pub fix: bool,
    /// With --fix or --diff: make those too that are guesses at what was meant.
    #[arg(long)]
    pub unsafe_fixes: bool,
    /// Change nothing, print what --fix would change, and exit with 1 if it is anything.
    #[arg(long)]
    pub diff: bool,
    /// Leave out what a report holds that was written with --format json.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Leave out what the same paths had in a revision of the git repository.
    #[arg(long, value_name = "REV")]
    pub new_from: Option<String>,
    /// Exit with 0 even when there are findings.
    #[arg(long)]
    pub exit_zero: bool,
}

/// How sure a finding must be to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Surety {
    /// What follows from the text of a policy alone.
    Proven,
    /// That, and what is true if the input is the whole cluster.
    ClosedWorld,
    /// All of it, guesses at what was meant included.
    #[default]
    All,
}

impl Surety {
    /// The least sure certainty that is told.
    pub fn least(self) -> Certainty {
        match self {
            Self::Proven => Certainty::Proven,
            Self::ClosedWorld => Certainty::ClosedWorld,
            Self::All => Certainty::Heuristic,
        }
    }
}

/// A file that findings are written to.
#[derive(Debug, Clone)]
pub struct OutputFile {
    /// How.
    pub format: findings::Format,
    /// Where to.
    pub file: PathBuf,
}

impl OutputFile {
    fn parse(text: &str) -> Result<Self, String> {
        let (format, file) = text
            .split_once('=')
            .filter(|(_, file)| !file.is_empty())
            .ok_or("write FORMAT=FILE, such as sarif=nopal.sarif")?;
        Ok(Self {
            format: findings::Format::from_str(format, false)?,
            file: file.into(),
        })
    }
}

/// Arguments of `rule`.
#[derive(Debug, Args)]
pub struct Rule {
    /// The rule's code or name.
    #[arg(value_name = "CODE")]
    pub code: String,
    /// How to print the page.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `rules`.
#[derive(Debug, Args)]
pub struct Rules {
    /// How to print the table.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
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
    /// What was: a file, a folder, or git:REV:PATH.
    #[arg(value_name = "OLD", value_parser = Version::parse)]
    pub old: Version,
    /// What is: the same.
    #[arg(value_name = "NEW", value_parser = Version::parse)]
    pub new: Version,
    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
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
    /// What a revision of the git repository has there.
    Revision {
        /// The revision.
        revision: String,
        /// The path, from the current folder.
        path: PathBuf,
    },
}

impl Version {
    fn parse(text: &str) -> Result<Self, String> {
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

/// Arguments of `render`.
#[derive(Debug, Args)]
pub struct Render {
    /// What to read.
    #[command(flatten)]
    pub input: InputArguments,
    /// The node whose pods the rules are for.
    #[arg(long, value_name = "NODE")]
    pub node: String,
    /// How to print the rules.
    #[arg(long, value_enum, default_value_t)]
    pub format: ruleset::Format,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct Apply {
    /// What to read.
    #[command(flatten)]
    pub input: InputArguments,
    /// The node that this machine is.
    #[arg(long, value_name = "NODE")]
    pub node: String,
    /// Where the rules come into force: a network namespace by its name or path.
    #[command(flatten)]
    pub place: Place,
    /// Change nothing, only tell what would change and whether the kernel would take it.
    #[arg(long)]
    pub check: bool,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Files, folders, or - for standard input, to compare with.
    #[arg(value_name = "PATHS", requires = "node")]
    pub paths: Vec<PathBuf>,
    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
    /// The node that this machine is.
    #[arg(long, value_name = "NODE", requires = "paths")]
    pub node: Option<String>,
    /// Where to look.
    #[command(flatten)]
    pub place: Place,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `watch-denied`.
#[derive(Debug, Args)]
pub struct WatchDenied {
    /// Files, folders, or - for standard input, to name pods and policies by.
    #[arg(value_name = "PATHS")]
    pub paths: Vec<PathBuf>,
    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
    /// The node that this machine is: quicker in a large cluster.
    #[arg(long, value_name = "NODE", requires = "paths")]
    pub node: Option<String>,
    /// Where to listen.
    #[command(flatten)]
    pub place: Place,
    /// The nflog group that the rules tell to.
    #[arg(long, value_name = "N", default_value_t = Log::GROUP)]
    pub group: u16,
    /// End after so many packets.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// How to print: text, or one JSON object a line.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `flush`.
#[derive(Debug, Args)]
pub struct Flush {
    /// Where to take it away.
    #[command(flatten)]
    pub place: Place,
    /// Also a table of this name that somebody else made.
    #[arg(long)]
    pub force: bool,
}

/// Whose kernel tables are meant.
#[derive(Debug, Args)]
pub struct Place {
    /// A network namespace, by its name or path, in place of this machine's own.
    #[arg(long, value_name = "NAME")]
    pub netns: Option<PathBuf>,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Files, folders, or - for standard input; a built-in example when there are none.
    #[arg(value_name = "PATHS")]
    pub paths: Vec<PathBuf>,
    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
    /// Leave the cluster standing, and say how to look into it.
    #[arg(long)]
    pub keep: bool,
    /// Only take away what --keep left standing.
    #[arg(long, conflicts_with_all = ["paths", "keep"])]
    pub clean: bool,
    /// Stop at so many pods; of more, an even sample takes part.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub pods: usize,
    /// Send at most so many probes; of more, an even sample.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub probes: usize,
    /// How pods hang on their nodes.
    #[arg(long, value_enum, default_value_t)]
    pub topology: Wiring,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
