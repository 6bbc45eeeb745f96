//! Arguments of the commands about a node's rules: `render`, `apply`, `status`, `watch-denied`, `flush`, `demo`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use nft_backend::config::{Config, Log};

use super::{Format, InputArguments};
use crate::demo::Wiring;
use crate::report::ruleset;

/// Arguments of `render`.
#[derive(Debug, Args)]
pub struct Render {
    /// What to read.
    #[command(flatten)]
    pub input: InputArguments,
    /// The node whose pods the rules are for.
    #[arg(long, value_name = "NODE")]
    pub node: String,
    /// What packets are counted for.
    #[command(flatten)]
    pub counting: Counting,
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
    /// What packets are counted for.
    #[command(flatten)]
    pub counting: Counting,
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

/// What packets are counted for.
#[derive(Debug, Args)]
pub struct Counting {
    /// What packets are counted for; for each rule of a policy at the cost of lookups and memory for each.
    #[arg(long, value_enum, value_name = "FOR", default_value_t)]
    pub count: Count,
}

/// What packets can be counted for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Count {
    /// For each policy.
    #[default]
    Policies,
    /// For each rule of a policy, too.
    Rules,
}

impl Counting {
    /// The default configuration that counts so.
    pub fn config(&self) -> Config {
        Config {
            rule_counters: self.count == Count::Rules,
            ..Config::default()
        }
    }
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
