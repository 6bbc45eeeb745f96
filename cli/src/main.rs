//! Entry point of the `nopal` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = nopal::args::Arguments::of_process();
    nopal::commands::run(&arguments).into()
}
