//! The command line.

mod cluster;
mod integrations;
mod lint;
mod model;
mod node;
mod pictures;
mod questions;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::report::{self, Color};

pub use cluster::{ClusterArguments, Rollout};
pub use integrations::{Completions, Man, Schema, Schemas};
pub use lint::{Lint, OutputFile, Rule, Rules, Surety};
pub use model::{Diff, Explain, FailOn, Matrix, Snapshot, Test, Version};
pub use node::{Apply, Demo, Flush, Place, Render, Status, WatchDenied};
pub use pictures::Graph;
pub use questions::{Coverage, Equiv, Exposure, Isolate, OneDirection, Query, Scope, Suggest};

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

impl Arguments {
    /// Reads the arguments of this process; ends it where they are wrong or ask for help. kubectl calls its plugin
    /// `kubectl-nopal`; help then says what its users type.
    #[must_use]
    pub fn of_process() -> Self {
        let program = std::env::args_os().next().unwrap_or_default();
        let is_plugin = Path::new(&program).file_stem() == Some(OsStr::new("kubectl-nopal"));
        let command = Self::command();
        let command = if is_plugin {
            command.bin_name("kubectl nopal")
        } else {
            command
        };
        let matches = command.try_get_matches();
        matches
            .and_then(|matches| Self::from_arg_matches(&matches))
            .unwrap_or_else(|error| stop(&error))
    }
}

/// Tells what is wrong, or gives the help that was asked for.
fn stop(error: &clap::Error) -> ! {
    if let Err(error) = error.print() {
        report::lose(&error);
    }
    std::process::exit(if report::is_lost() {
        2
    } else {
        error.exit_code()
    })
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
    /// Draw what rules let flow between workloads.
    ///
    /// An edge is what passes because a rule names its other end. What a rule admits from or to everyone is a mark of its
    /// node; where no policy limits either end there is no rule to draw, and the node's side shows it.
    Graph(Graph),
    /// Check connections against what `ConnectivityTest` files expect.
    Test(Test),
    /// Show which connections are gained and lost between two inputs.
    ///
    /// OLD and NEW are files, folders, - for standard input, git:REV:PATH, or cluster:CONTEXT. Both are compared over the same pods: those that
    /// appear or vanish are listed and do not count. Names in brackets are pods that no input has, but that policies hold for.
    Diff(Diff),
    /// Write what policies mean as a stable text, to commit and to compare with.
    ///
    /// Without --file it is printed; without --check or --update the file is written if there is none.
    Snapshot(Snapshot),
    /// Show what is open to the internet, to the whole cluster, and to namespaces that the input does not hold.
    ///
    /// It is asked of each workload's own policies, ingress and egress: the other end's may change without anybody looking
    /// at this one. Most of the internet counts as the internet; of it, single blocks are told as such and fail nothing.
    Exposure(Exposure),
    /// Ask who reaches whom, by names, labels and addresses.
    ///
    /// An END is any (everybody), pods, external (every address that is no pod's), unknown (pods of namespaces that the
    /// input does not hold), an address or a CIDR (the pods that have one of these addresses among them), namespace/pod,
    /// namespace/Kind/name, namespace/* or labels in kubectl's language: 'ns:team=a pod:app in (web,api),!legacy', each
    /// part alone too.
    ///
    /// Names in brackets are pods that the input does not hold: those that policies speak of, and for labels one of a
    /// namespace that is not there. --known leaves them out. With --not nothing must connect, and the exit code is 1 if
    /// anything does.
    Query(Query),
    /// Tell whether two inputs mean the same.
    ///
    /// First the pods of the inputs are compared, as `diff` does. Then policies are compared for pods and namespaces with
    /// any labels at all: each direction of a pod by itself, whatever the other end's policies say. Exit code 1 when they
    /// differ, with the simplest examples.
    Equiv(Equiv),
    /// Show which workloads no policy isolates.
    Coverage(Coverage),
    /// Write the least policies that admit given flows.
    ///
    /// The flows are lines such as `shop/web -> shop/api 8080/TCP`, a YAML list of {from, to, port}, or JSON lines as
    /// `watch-denied --format json` prints them. A pod stands for its workload: policies select by the labels that its
    /// template gives it. The policies are compiled before they are printed: all flows must pass, and what passes besides is
    /// told.
    Suggest(Suggest),
    /// Tell whether policies are in force on every node of a live cluster.
    ///
    /// What the API server has now is compared with what the agent of each node says of itself, which is asked through the API
    /// server by kubectl. Nodes that lag are named with the reason. Exit code 0 when it is in force on all nodes, 1 when not
    /// (yet), 2 when that cannot be asked.
    ///
    /// Needs kubectl, and the rights to list networkpolicies, pods and nodes and to get pods/proxy.
    Rollout(Rollout),
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
    /// Print what a shell needs to complete nopal's arguments.
    Completions(Completions),
    /// Print nopal's manual page, or write one for each command.
    Man(Man),
    /// Print the JSON Schema of what a command prints, or of the files that `nopal test` reads.
    Schema(Schema),
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
    #[arg(required_unless_present_any = ["context", "kubeconfig"], value_name = "PATHS")]
    pub paths: Vec<PathBuf>,
    /// A live cluster, read before the files: an object of a file counts in place of the cluster's of the same name.
    #[command(flatten)]
    pub cluster: ClusterArguments,
    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
}
