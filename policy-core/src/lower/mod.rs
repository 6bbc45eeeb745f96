//! Turns objects of the Kubernetes API into our types. Never fails: bad input gives a value that is closed wherever
//! the text was not understood, and a list of problems.

mod pod;
mod policy;
mod rule;
mod selector;

pub use pod::{node, pod, template};
pub use policy::policy;

use crate::labels::Labels;
use crate::problem::{FieldPath, ObjectRef, Problem, ProblemKind};
use k8s_openapi::api::core::v1::Namespace;
use std::net::IpAddr;

/// A field that a reader could not take into the typed object: the API does not have it, or not with that type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Where it stands.
    pub path: FieldPath,
    /// Why ([`ProblemKind::UnknownField`] or [`ProblemKind::Mistyped`]).
    pub kind: ProblemKind,
}

/// Lowers a namespace: its name and labels.
pub fn namespace(object: &Namespace) -> (String, Labels) {
    let labels = object.metadata.labels.iter().flatten().collect();
    (object.metadata.name.clone().unwrap_or_default(), labels)
}

/// The problems of one object, as they are found.
struct Problems {
    object: ObjectRef,
    found: Vec<Problem>,
}

impl Problems {
    fn of(kind: &str, namespace: Option<&str>, name: &str) -> Self {
        let object = ObjectRef {
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        };
        Self {
            object,
            found: Vec::new(),
        }
    }

    fn add(&mut self, path: FieldPath, kind: ProblemKind) {
        self.found.push(Problem {
            object: self.object.clone(),
            path,
            kind,
        });
    }
}

/// Reads an address; an IPv4-mapped one is its IPv4 address, which is what packets carry.
fn address(text: &str, path: &FieldPath, problems: &mut Problems) -> Option<IpAddr> {
    let read = text
        .parse::<IpAddr>()
        .ok()
        .map(|address| address.to_canonical());
    if read.is_none() {
        problems.add(
            path.clone(),
            ProblemKind::InvalidAddress {
                written: text.to_owned(),
            },
        );
    }
    read
}
