//! What every command does first: read the input, and say what could not be read.

use super::Outcome;
use crate::args::{Arguments, InputArguments, Version};
use crate::inventory::{Inventory, MadeUp};
use crate::manifest::{self, Manifests};
use crate::{git, report};

pub(super) fn read(arguments: &Arguments, input: &InputArguments) -> Manifests {
    let manifests = manifest::read(&input.paths, &input.namespace);
    report::input(&manifests, arguments.verbose);
    manifests
}

/// The cluster, and how bad what could not be read is.
pub(super) fn inventory(manifests: &Manifests, made_up: MadeUp) -> (Inventory<'_>, Outcome) {
    let inventory = Inventory::new(manifests, made_up);
    let outcome = if manifests.errors.is_empty() {
        Outcome::Fine
    } else {
        Outcome::Unreadable
    };
    (inventory, outcome)
}

/// What a version holds. The files of a revision have its name before theirs in messages.
pub(super) fn version(version: &Version, namespace: &str) -> Result<Manifests, String> {
    match version {
        Version::Path(path) => Ok(manifest::read(std::slice::from_ref(path), namespace)),
        Version::Revision { revision, path } => {
            let tree = git::checkout(revision)?;
            let found = tree.path(path)?.filter(|found| found.exists());
            let found =
                found.ok_or_else(|| format!("revision {revision} has no {}", path.display()))?;
            Ok(manifest::read_as(&found, &version.to_string(), namespace))
        }
    }
}
