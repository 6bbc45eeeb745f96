//! `nopal snapshot`: what policies mean, as a text to commit.

use std::path::Path;

use super::{Outcome, load};
use crate::args::{Arguments, Snapshot};
use crate::inventory::Inventory;
use crate::report;
use crate::snapshot::{compare, snapshot};
use crate::view::View;

pub(super) fn run(arguments: &Arguments, options: &Snapshot) -> Outcome {
    let manifests = load::read(arguments, &options.input);
    if !manifests.errors.is_empty() {
        report::print_error("error: no snapshot: what could not be read may be a policy or a pod");
        return Outcome::Unreadable;
    }
    let (inventory, pods) = Inventory::with_possible(&manifests);
    let now = snapshot(&View::new(&inventory, pods));
    let Some(file) = &options.file else {
        report::print(&now);
        return Outcome::Fine;
    };
    let answer = if options.check {
        check(file, &now)
    } else {
        write(file, &now, options.update)
    };
    answer.unwrap_or_else(|message| {
        report::print_error(&format!("error: {}: {message}", file.display()));
        Outcome::Unreadable
    })
}

fn check(file: &Path, now: &str) -> Result<Outcome, String> {
    let before = std::fs::read_to_string(file)
        .map_err(|error| format!("cannot be read ({error}): write the first one with --update"))?;
    let changes = compare(&before, now)?;
    if changes.is_empty() {
        return Ok(Outcome::Fine);
    }
    report::print(&changes);
    report::print_error(&format!(
        "{} does not hold what the policies mean now: if that is meant, write it anew with --update",
        file.display()
    ));
    Ok(Outcome::Found)
}

fn write(file: &Path, now: &str, is_update: bool) -> Result<Outcome, String> {
    if file.exists() && !is_update {
        return Err(
            "is there already: compare with --check, or write it anew with --update".to_owned(),
        );
    }
    std::fs::write(file, now).map_err(|error| format!("cannot be written: {error}"))?;
    Ok(Outcome::Fine)
}
