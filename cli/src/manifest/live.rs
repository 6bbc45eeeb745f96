//! Reads the objects of a live cluster, by the user's own kubectl.
//!
//! Each kind is a list of its own, at a moment of its own: an object that changes meanwhile is as it was when its kind was
//! read.

use std::sync::Arc;

use super::error::InputError;
use super::source::Source;
use super::{Manifests, read_source};
use crate::kubectl::{Kubectl, KubectlError};

/// What it means when a kind cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Nothing can be said without it.
    Needed,
    /// Something is not known then, which is told.
    Wanted(&'static str),
    /// The cluster need not have it: it is a kind that somebody else adds.
    IfThere,
}

const WORKLOADS: &str = "what is known of these pods' workloads is not looked at";
const LINT: &str = "lint does not look at them";

/// The kinds that are read, as kubectl names them. `ReplicaSets` are left out: their Pods show what runs, and their
/// Deployments what will.
const KINDS: [(&str, Need); 19] = [
    ("namespaces", Need::Needed),
    (
        "nodes",
        Need::Wanted("the addresses of nodes are known as far as pods tell them"),
    ),
    ("pods", Need::Needed),
    ("networkpolicies.networking.k8s.io", Need::Needed),
    ("deployments.apps", Need::Wanted(WORKLOADS)),
    ("statefulsets.apps", Need::Wanted(WORKLOADS)),
    ("daemonsets.apps", Need::Wanted(WORKLOADS)),
    ("jobs.batch", Need::Wanted(WORKLOADS)),
    ("cronjobs.batch", Need::Wanted(WORKLOADS)),
    ("services", Need::Wanted(LINT)),
    ("ingresses.networking.k8s.io", Need::Wanted(LINT)),
    (
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        Need::Wanted(LINT),
    ),
    (
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        Need::Wanted(LINT),
    ),
    ("servicemonitors.monitoring.coreos.com", Need::IfThere),
    ("podmonitors.monitoring.coreos.com", Need::IfThere),
    ("networkpolicies.crd.projectcalico.org", Need::IfThere),
    ("globalnetworkpolicies.crd.projectcalico.org", Need::IfThere),
    ("ciliumnetworkpolicies.cilium.io", Need::IfThere),
    ("ciliumclusterwidenetworkpolicies.cilium.io", Need::IfThere),
];

/// The objects of a cluster.
#[derive(Debug, Default)]
pub struct Live {
    /// The objects, and what could not be read that is needed.
    pub manifests: Manifests,
    /// What could not be read, and what is not known therefore.
    pub missing: Vec<String>,
    /// Whether Nodes are among it.
    pub lacks_nodes: bool,
}

/// Reads all kinds, each beside the others: kubectl waits for the network.
pub fn read_cluster(kubectl: &Kubectl) -> Live {
    let read: Vec<_> = std::thread::scope(|scope| {
        let readers = KINDS.map(|(kind, _)| scope.spawn(move || read_kind(kubectl, kind)));
        let ended = |_| {
            Err(KubectlError::Failed(
                "its reader came to a sudden end".to_owned(),
            ))
        };
        let read = readers
            .into_iter()
            .map(|reader| reader.join().unwrap_or_else(ended));
        read.collect()
    });
    let mut live = Live::default();
    for ((kind, need), read) in KINDS.into_iter().zip(read) {
        match (read, need) {
            (Ok(manifests), _) => live.manifests.append(manifests),
            (Err(KubectlError::UnknownKind(_)), Need::IfThere) => {}
            (Err(error @ KubectlError::Missing(_)), _) => {
                // It is the same for all kinds.
                let error = InputError::of_file(&kubectl.name(), error.to_string());
                live.manifests.errors = vec![error];
                return live;
            }
            (Err(error @ KubectlError::Forbidden(_)), Need::Wanted(outcome)) => {
                let name = kubectl.name();
                live.lacks_nodes |= kind == "nodes";
                live.missing.push(format!(
                    "{name}: {kind} cannot be read, so {outcome} ({error})"
                ));
            }
            (Err(error @ KubectlError::Forbidden(_)), Need::IfThere) => {
                let name = kubectl.name();
                live.missing.push(format!(
                    "{name}: {kind} cannot be read, so {LINT} ({error})"
                ));
            }
            (Err(error), _) => {
                let message = format!("cannot be read: {error}");
                let file = format!("{}/{kind}", kubectl.name());
                live.manifests
                    .errors
                    .push(InputError::of_file(&file, message));
            }
        }
    }
    live
}

fn read_kind(kubectl: &Kubectl, kind: &str) -> Result<Manifests, KubectlError> {
    let arguments = ["get", kind, "--all-namespaces", "-o", "json"];
    let printed = kubectl.run(&arguments)?;
    let text = String::from_utf8(printed).map_err(|error| {
        KubectlError::Failed(format!("what kubectl prints is no text: {error}"))
    })?;
    let file = format!("{}/{kind}", kubectl.name());
    Ok(read_source(&Arc::new(Source::new(file, text)), "default"))
}
