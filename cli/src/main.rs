//! Entry point of the `nopal` command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = nopal::args::Arguments::parse();
    nopal::commands::run(&arguments).into()
}
