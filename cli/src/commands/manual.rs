//! `nopal completions` and `nopal man`: what shells and readers of manuals want, made from the command line's own words.

use std::path::Path;

use clap::CommandFactory;

use super::Outcome;
use crate::args::{Arguments, Completions, Man};
use crate::report;

pub(super) fn completions(options: &Completions) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "nopal", &mut text);
    report::print(&String::from_utf8_lossy(&text));
    Outcome::Fine
}

pub(super) fn man(options: &Man) -> Outcome {
    let written = match &options.dir {
        Some(folder) => write(folder),
        None => page(Arguments::command().disable_help_subcommand(true))
            .map(|page| report::print(&page)),
    };
    match written {
        Ok(()) => Outcome::Fine,
        Err(error) => {
            let folder = options.dir.as_deref().unwrap_or(Path::new("-"));
            let folder = folder.display();
            report::print_error(&format!(
                "error: {folder}: manual pages cannot be written: {error}"
            ));
            Outcome::Unreadable
        }
    }
}

/// Writes `nopal.1`, and `nopal-lint.1` and the like for the commands.
fn write(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Arguments::command(), folder)
}

fn page(command: clap::Command) -> std::io::Result<String> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command).render(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
