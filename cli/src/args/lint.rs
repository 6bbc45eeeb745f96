//! Arguments of the commands about findings: `lint`, `rule`, `rules`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Format, InputArguments};
use crate::lint::{Certainty, Profile};
use crate::report::findings;

/// The arguments that name a live cluster, which has no files to change and no revisions.
const CLUSTER: [&str; 2] = ["context", "kubeconfig"];

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
    #[arg(long, conflicts_with_all = CLUSTER)]
    pub fix: bool,
    /// With --fix or --diff: make those too that are guesses at what was meant.
    #[arg(long)]
    pub unsafe_fixes: bool,
    /// Change nothing, print what --fix would change, and exit with 1 if it is anything.
    #[arg(long, conflicts_with_all = CLUSTER)]
    pub diff: bool,
    /// Leave out what a report holds that was written with --format json.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Leave out what the same paths had in a revision of the git repository.
    #[arg(long, value_name = "REV", conflicts_with_all = CLUSTER)]
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
