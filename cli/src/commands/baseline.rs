//! What `nopal lint` leaves out because it was there before: findings of a report, or of a revision.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::args::InputArguments;
use crate::git;
use crate::lint::{Finding, Selection, lint};
use crate::manifest;
use crate::report::fingerprint::{fingerprints, known};

/// The fingerprints that a report of `nopal lint --format json` holds.
pub(super) fn of_report(file: &Path) -> Result<BTreeSet<String>, String> {
    let name = file.display();
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("{name} cannot be read: {error}"))?;
    let way_out = "write one with `nopal lint --format json`";
    known(&text).map_err(|error| format!("{name} is {error}: {way_out}"))
}

/// The fingerprints of what the same paths had in a revision of the git repository around the current folder.
pub(super) fn of_revision(
    revision: &str,
    input: &InputArguments,
    selection: &Selection,
) -> Result<BTreeSet<String>, String> {
    let tree = git::checkout(revision)?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in &input.paths {
        // What was not there yet had no findings.
        paths.extend(tree.path(path)?.filter(|path| path.exists()));
    }
    let manifests = manifest::read(&paths, &input.namespace);
    let findings = lint(&manifests, selection);
    Ok(fingerprints(findings.iter()).into_iter().collect())
}

/// Leaves out the findings that were there before.
pub(super) fn retain_new(findings: &mut Vec<Finding>, before: &BTreeSet<String>) {
    let prints = fingerprints(findings.iter());
    let mut prints = prints.iter();
    findings.retain(|_| prints.next().is_some_and(|print| !before.contains(print)));
}
