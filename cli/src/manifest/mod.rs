//! Reads Kubernetes objects out of YAML and JSON, with the place of every field.
//!
//! Nothing here is trusted: files may be broken, huge, deeply nested or made to explode. What can't be read becomes
//! an [`InputError`]; everything else is read all the same.

mod account;
mod address;
mod backend;
mod document;
mod documents;
mod error;
mod files;
mod kind;
mod live;
mod maker;
mod object;
mod parse;
mod plain;
mod rendered;
mod scalar;
mod schema;
mod setting;
mod source;
mod source_map;
mod take;
mod tree;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy_core::problem::{FieldPath, ObjectRef};
use rayon::prelude::*;

pub use account::BoundAccount;
pub use address::{Address, Told};
pub use backend::{Backend, BackendPort, Entrance, Monitor, Sender};
pub(crate) use document::UNSTATED_NAMESPACE;
pub use error::InputError;
pub use files::STANDARD_INPUT;
pub use live::{Live, read_cluster};
pub use object::{
    ConnectivityTest, Content, Object, PolicyObject, RepeatedKey, Workload, WrittenEnd,
};
pub use setting::{ConfigMap, Says, Setting};
pub use source::{Position, Source, Span};
pub use source_map::{Part, Place, SourceMap};

/// Everything that the input holds, in its order.
#[derive(Debug, Default)]
pub struct Manifests {
    /// The objects of the kinds that are read.
    pub objects: Vec<Object>,
    /// What could not be read.
    pub errors: Vec<InputError>,
    /// Objects of other kinds.
    pub passed_over: Vec<PassedOver>,
    /// Those among them that decide about traffic.
    pub foreign: Vec<ForeignPolicy>,
    /// What `ConfigMaps` say about whom to call.
    pub config_maps: Vec<ConfigMap>,
    /// The service accounts that have a role.
    pub bound_accounts: Vec<BoundAccount>,
    /// The namespaces for which somebody may make pods that the input does not show.
    pub makers: BTreeSet<String>,
    /// Whether objects were there of which only that is kept.
    has_bindings: bool,
}

/// A policy of another project or tier, which is not read.
#[derive(Debug, Clone)]
pub struct ForeignPolicy {
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its kind, namespace (where one is written) and name.
    pub reference: ObjectRef,
    /// Where it begins.
    pub place: Place,
}

/// An object of a kind that is not read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PassedOver {
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its `kind`.
    pub kind: String,
}

impl Manifests {
    /// Whether no object could be read, and something kept it from that.
    pub fn is_unread(&self) -> bool {
        self.objects.is_empty() && !self.errors.is_empty()
    }

    /// The tests of all `ConnectivityTest`s, in order.
    pub fn tests(&self) -> impl Iterator<Item = &ConnectivityTest> {
        let suites = self
            .objects
            .iter()
            .filter_map(|object| match &object.content {
                Content::Tests(tests) => Some(tests),
                _ => None,
            });
        suites.flatten()
    }

    /// Takes over what another input holds, after what is there.
    pub fn append(&mut self, mut other: Self) {
        self.objects.append(&mut other.objects);
        self.errors.append(&mut other.errors);
        self.passed_over.append(&mut other.passed_over);
        self.foreign.append(&mut other.foreign);
        self.config_maps.append(&mut other.config_maps);
        self.bound_accounts.append(&mut other.bound_accounts);
        self.makers.append(&mut other.makers);
        self.has_bindings |= other.has_bindings;
    }
}

/// Reads files, folders and (as `-`) standard input. `namespace` is that of objects that name none.
pub fn read(paths: &[PathBuf], namespace: &str) -> Manifests {
    let (files, errors) = files::find(paths);
    read_files(&files, errors, namespace)
}

/// Reads a file or folder, and names it `shown` in messages.
pub fn read_as(path: &Path, shown: &str, namespace: &str) -> Manifests {
    let (mut files, mut errors) = files::find(&[path.to_owned()]);
    files::rename(path, shown, &mut files, &mut errors);
    read_files(&files, errors, namespace)
}

fn read_files(files: &[files::InputFile], errors: Vec<InputError>, namespace: &str) -> Manifests {
    let mut manifests = Manifests {
        errors,
        ..Manifests::default()
    };
    let parts: Vec<Manifests> = files
        .par_iter()
        .map(|file| read_file(file, namespace))
        .collect();
    for part in parts {
        manifests.append(part);
    }
    manifests
}

fn read_file(file: &files::InputFile, namespace: &str) -> Manifests {
    let source = match files::read(file) {
        Ok(source) => Arc::new(source),
        Err(error) => {
            return Manifests {
                errors: vec![*error],
                ..Manifests::default()
            };
        }
    };
    let mut manifests = read_source(&source, namespace);
    if file.is_named && manifests.is_empty() {
        let message = "holds no Kubernetes object";
        manifests
            .errors
            .push(InputError::of_file(source.name(), message));
    }
    manifests
}

/// Reads one text.
pub fn read_source(source: &Arc<Source>, namespace: &str) -> Manifests {
    let documents = documents::split(source.text()).into_par_iter();
    let join = |mut left: Manifests, right: Manifests| {
        left.append(right);
        left
    };
    // Folding keeps the order, and keeps nothing of documents that hold nothing.
    documents
        .fold(Manifests::default, |read, range| {
            join(read, read_documents(source, range, namespace))
        })
        .reduce(Manifests::default, join)
}

fn read_documents(source: &Arc<Source>, range: Range<usize>, namespace: &str) -> Manifests {
    let mut manifests = Manifests::default();
    let base = u32::try_from(range.start).unwrap_or(u32::MAX);
    let (roots, error) = parse::parse(&source.text()[range], base);
    for root in &roots {
        document::read(root, source, namespace, &mut manifests);
    }
    if let Some(error) = error {
        manifests.errors.push(InputError {
            file: source.name().to_owned(),
            position: Some(source.position(error.offset)),
            object: None,
            path: FieldPath::root(),
            message: error.message,
        });
    }
    manifests
}

/// Whether the short way through plain YAML takes a text, as one document.
///
/// # Panics
/// When it takes it for something else than the parser does.
pub(crate) fn agrees_with_parser(text: &str) -> bool {
    let Some(root) = plain::parse(text, 0) else {
        return false;
    };
    let parsed = parse::parse_fully(text, 0);
    assert_eq!((vec![root], None), parsed, "{text:?}");
    true
}

impl Manifests {
    fn is_empty(&self) -> bool {
        self.objects.is_empty()
            && self.errors.is_empty()
            && self.passed_over.is_empty()
            && self.config_maps.is_empty()
            && !self.has_bindings
    }
}
