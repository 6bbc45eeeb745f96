//! What every command does first: read the input, and say what could not be read.

use std::path::Path;

use super::Outcome;
use crate::args::{Arguments, Command, InputArguments, Version};
use crate::inventory::{Inventory, MadeUp};
use crate::kubectl::Kubectl;
use crate::manifest::{self, InputError, Manifests};
use crate::{git, report};

/// What a command with an answer reads. Where nothing at all could be read there is nothing to answer from: the errors
/// are told, and no more.
pub(super) fn some(arguments: &Arguments, input: &InputArguments) -> Option<Manifests> {
    Some(read(arguments, input)).filter(|manifests| !manifests.is_unread())
}

pub(super) fn read(arguments: &Arguments, input: &InputArguments) -> Manifests {
    let mut manifests = if input.cluster.is_named() {
        cluster(arguments, &input.cluster.kubectl())
    } else {
        Manifests::default()
    };
    manifests.append(manifest::read(&input.paths, &input.namespace));
    report::input(&manifests, arguments.verbose);
    manifests
}

/// What a live cluster holds. Who makes rules for a node's kernel needs its Nodes; everybody else can say something
/// without them.
pub(super) fn cluster(arguments: &Arguments, kubectl: &Kubectl) -> Manifests {
    let mut live = manifest::read_cluster(kubectl);
    let makes_rules = matches!(arguments.command, Command::Render(_) | Command::Apply(_));
    for missing in live.missing {
        if !(live.lacks_nodes && makes_rules) {
            report::print_error(&format!("warning: {missing}"));
        }
    }
    if live.lacks_nodes && makes_rules {
        let message = "Nodes cannot be read, and rules need their addresses";
        let error = InputError::of_file(&kubectl.name(), message);
        live.manifests.errors.push(error);
    }
    live.manifests
}

/// The cluster, and how bad what could not be read is.
pub(super) fn inventory(manifests: &Manifests, made_up: MadeUp) -> (Inventory<'_>, Outcome) {
    (Inventory::new(manifests, made_up), outcome(manifests))
}

/// How bad it is what could not be read.
pub(super) fn outcome(manifests: &Manifests) -> Outcome {
    if manifests.errors.is_empty() {
        Outcome::Fine
    } else {
        Outcome::Unreadable
    }
}

/// What two versions hold, with what is to be said of reading them; nothing if one of them is not there, or nothing of it
/// could be read.
pub(super) fn versions(
    arguments: &Arguments,
    versions: [&Version; 2],
    namespace: &str,
    kubeconfig: Option<&Path>,
) -> Option<[Manifests; 2]> {
    let mut read = Vec::new();
    for named in versions {
        match version(arguments, named, namespace, kubeconfig) {
            Ok(manifests) => read.push(manifests),
            Err(message) => {
                report::print_error(&format!("error: {named}: {message}"));
                return None;
            }
        }
    }
    for manifests in &read {
        report::input(manifests, arguments.verbose);
    }
    if read.iter().any(Manifests::is_unread) {
        return None;
    }
    read.try_into().ok()
}

/// What a version holds. The files of a revision have its name before theirs in messages; `kubeconfig` knows the clusters.
fn version(
    arguments: &Arguments,
    version: &Version,
    namespace: &str,
    kubeconfig: Option<&Path>,
) -> Result<Manifests, String> {
    match version {
        Version::Cluster(context) => {
            let kubectl = Kubectl {
                context: context.clone(),
                kubeconfig: kubeconfig.map(Path::to_path_buf),
                ..Kubectl::default()
            };
            Ok(cluster(arguments, &kubectl))
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
