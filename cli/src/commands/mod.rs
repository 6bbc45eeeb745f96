//! The subcommands, one file each.

mod lint;

use std::process::ExitCode;

use crate::args::{Arguments, Command};

/// How a command ended. The largest of several counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Nothing to complain about.
    Fine,
    /// Findings, failed tests, a difference.
    Found,
    /// Wrong usage, or input that could not be read.
    Unreadable,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Fine => Self::SUCCESS,
            Outcome::Found => Self::from(1),
            Outcome::Unreadable => Self::from(2),
        }
    }
}

/// Runs a command.
pub fn run(arguments: &Arguments) -> Outcome {
    match &arguments.command {
        Command::Lint(lint) => lint::run(arguments, lint),
    }
}
