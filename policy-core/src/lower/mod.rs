//! Turns objects of the Kubernetes API into our types. Never fails: bad input gives a value that is closed wherever
//! the text was not understood, and a list of problems.

mod mode;
mod path;
mod pod;
mod policy;
mod rule;
mod selector;

pub use pod::{node, pod, template};
pub use policy::policy;

use self::path::Path;
use crate::cluster::Namespace;
use crate::problem::{FieldPath, ObjectRef, Problem, ProblemKind};
use k8s_openapi::api::core::v1 as api;
use std::net::IpAddr;

/// A field that a reader could not take into the typed object: the API does not have it, or not with that type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Where it stands.
    pub path: FieldPath,
    /// Why ([`ProblemKind::UnknownField`] or [`ProblemKind::Mistyped`]).
    pub kind: ProblemKind,
}

/// Lowers a namespace: its name, its labels, and the mode of its policies, which is `enforce` where it was not understood.
pub fn namespace(object: &api::Namespace) -> (Namespace, Vec<Problem>) {
    let metadata = &object.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    let mut problems = Problems::of("Namespace", None, name);
    let outcome = "its policies that state no mode are enforced";
    let mode = mode::mode(metadata, outcome, &mut problems);
    let namespace = Namespace {
        name: name.into(),
        labels: metadata.labels.iter().flatten().collect(),
        mode: mode.unwrap_or_default(),
    };
    (namespace, problems.found)
}

/// The problems of one object, as they are found.
struct Problems<'a> {
    kind: &'a str,
    namespace: Option<&'a str>,
    name: &'a str,
    found: Vec<Problem>,
}

impl<'a> Problems<'a> {
    fn of(kind: &'a str, namespace: Option<&'a str>, name: &'a str) -> Self {
        Self {
            kind,
            namespace,
            name,
            found: Vec::new(),
        }
    }

    fn add(&mut self, path: &Path<'_>, kind: ProblemKind) {
        self.found.push(Problem {
            object: ObjectRef {
                kind: self.kind.to_owned(),
                namespace: self.namespace.map(str::to_owned),
                name: self.name.to_owned(),
            },
            path: path.written(),
            kind,
        });
    }
}

/// Reads an address; an IPv4-mapped one is its IPv4 address, which is what packets carry.
fn address(text: &str, path: &Path<'_>, problems: &mut Problems<'_>) -> Option<IpAddr> {
    let read = text
        .parse::<IpAddr>()
        .ok()
        .map(|address| address.to_canonical());
    if read.is_none() {
        problems.add(
            path,
            ProblemKind::InvalidAddress {
                written: text.to_owned(),
            },
        );
    }
    read
}
