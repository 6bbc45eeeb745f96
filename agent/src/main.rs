//! The program of a node: see the library.

use std::process::ExitCode;

use clap::Parser;
use nopal_agent::args::{Arguments, Command, LogFormat};
use nopal_agent::{cleanup, run};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let Arguments { command, run } = Arguments::parse();
    let command = command.unwrap_or(Command::Run(Box::new(run)));
    start_logging(match &command {
        Command::Run(options) => options.log_format,
        Command::Cleanup(_) => LogFormat::Text,
    });
    let done = match command {
        Command::Run(options) => start(*options),
        Command::Cleanup(options) => cleanup::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(options: nopal_agent::args::Run) -> anyhow::Result<()> {
    // Two threads read what the watches bring; rules are put in force on a third.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build()?;
    runtime.block_on(run::run(options))
}

fn start_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => builder.with_ansi(false).init(),
    }
}
