//! `nopal diff`: which connections two inputs allow differently.

use super::{Outcome, load};
use crate::args::{Arguments, Diff, FailOn, Version};
use crate::diff::{Difference, difference};
use crate::inventory::Pair;
use crate::kubectl::Kubectl;
use crate::manifest::{self, Manifests};
use crate::{git, report};

pub(super) fn run(arguments: &Arguments, options: &Diff) -> Outcome {
    let mut read = Vec::new();
    for version in [&options.old, &options.new] {
        match manifests(arguments, options, version) {
            Ok(manifests) => read.push(manifests),
            Err(message) => {
                report::print_error(&format!("error: {version}: {message}"));
                return Outcome::Unreadable;
            }
        }
    }
    for manifests in &read {
        report::input(manifests, arguments.verbose);
    }
    let [old, new] = [&read[0], &read[1]];
    let difference = difference(&Pair::new(old, new));
    report::print(&report::diff::diff(&difference, options.format));
    if !old.errors.is_empty() || !new.errors.is_empty() {
        return Outcome::Unreadable;
    }
    if is_failure(&difference, options.fail_on) {
        Outcome::Found
    } else {
        Outcome::Fine
    }
}

/// What a version holds. The files of a revision have its name before theirs in messages.
fn manifests(
    arguments: &Arguments,
    options: &Diff,
    version: &Version,
) -> Result<Manifests, String> {
    let namespace = &options.namespace;
    match version {
        Version::Cluster(context) => {
            let kubectl = Kubectl {
                context: context.clone(),
                kubeconfig: options.kubeconfig.clone(),
                ..Kubectl::default()
            };
            Ok(load::cluster(arguments, &kubectl))
        }
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

fn is_failure(difference: &Difference, fail_on: FailOn) -> bool {
    let (widened, narrowed) = (!difference.gained.is_empty(), !difference.lost.is_empty());
    match fail_on {
        FailOn::Widened => widened,
        FailOn::Narrowed => narrowed,
        FailOn::Any => widened || narrowed,
        FailOn::None => false,
    }
}
