//! The subcommands, one file each.

mod apply;
mod baseline;
mod coverage;
mod demo;
mod diff;
mod equiv;
mod explain;
mod exposure;
mod flush;
mod graph;
mod kernel;
mod lint;
mod load;
mod manual;
mod matrix;
mod node;
mod query;
mod render;
mod rollout;
mod rule;
mod schema;
mod snapshot;
mod status;
mod suggest;
mod test;
mod watch_denied;

use std::process::ExitCode;

use crate::args::{Arguments, Command};
use crate::report;

/// How a command ended. The largest of several counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Nothing to complain about.
    Fine,
    /// Findings, failed tests, a difference.
    Found,
    /// Wrong usage, input that could not be read, or output that could not be written.
    Unreadable,
    /// Ended early because a signal asked for it.
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Fine => Self::SUCCESS,
            Outcome::Found => Self::from(1),
            Outcome::Unreadable => Self::from(2),
            Outcome::Interrupted => Self::from(130),
        }
    }
}

/// Runs a command. It does not end well if its answer is lost.
pub fn run(arguments: &Arguments) -> Outcome {
    let outcome = run_command(arguments);
    if report::is_lost() {
        outcome.max(Outcome::Unreadable)
    } else {
        outcome
    }
}

fn run_command(arguments: &Arguments) -> Outcome {
    match &arguments.command {
        Command::Lint(options) => lint::run(arguments, options),
        Command::Rule(options) => rule::run_one(options),
        Command::Rules(options) => rule::run_all(options),
        Command::Explain(options) => explain::run(arguments, options),
        Command::Matrix(options) => matrix::run(arguments, options),
        Command::Graph(options) => graph::run(arguments, options),
        Command::Test(options) => test::run(arguments, options),
        Command::Diff(options) => diff::run(arguments, options),
        Command::Snapshot(options) => snapshot::run(arguments, options),
        Command::Exposure(options) => exposure::run(arguments, options),
        Command::Query(options) => query::run(arguments, options),
        Command::Equiv(options) => equiv::run(arguments, options),
        Command::Coverage(options) => coverage::run(arguments, options),
        Command::Suggest(options) => suggest::run(arguments, options),
        Command::Rollout(options) => rollout::run(options),
        Command::Render(options) => render::run(arguments, options),
        Command::Apply(options) => apply::run(arguments, options),
        Command::Status(options) => status::run(arguments, options),
        Command::Flush(options) => flush::run(options),
        Command::WatchDenied(options) => watch_denied::run(arguments, options),
        Command::Demo(options) => demo::run(arguments, options),
        Command::Completions(options) => manual::completions(options),
        Command::Man(options) => manual::man(options),
        Command::Schema(options) => schema::run(options),
    }
}
