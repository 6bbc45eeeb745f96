//! What the containers of a pod are told about whom to call, and the `ConfigMaps` that tell it.
//!
//! Nothing here is an error: what cannot be read says nothing. Secrets are not read.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy_core::problem::FieldPath;

use super::address::Told;
use super::kind::Kind;
use super::scalar::Scalar;
use super::source::{Source, Span};
use super::source_map::Place;
use super::tree::{Node, Value};

/// How much text of one object is read: more than the API server's store takes of one.
const MOST_TEXT: usize = 2 << 20;

/// Something that a container is told.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The container; `None` for what stands in a volume.
    pub container: Option<String>,
    /// The variable that holds it.
    pub variable: Option<String>,
    /// The field.
    pub path: FieldPath,
    /// Where the variable's name stands, where the line holds nothing else; else where the object begins.
    pub place: Place,
    /// What it is told.
    pub says: Says,
}

/// What a container is told, and by what.
#[derive(Debug, Clone)]
pub enum Says {
    /// A value that is written.
    Value(Told),
    /// One key of a `ConfigMap`.
    Key {
        /// The `ConfigMap`.
        map: String,
        /// Its key.
        key: String,
    },
    /// Each key of a `ConfigMap` as a variable.
    Variables {
        /// The `ConfigMap`.
        map: String,
        /// What stands before each key in the variable's name.
        prefix: String,
    },
    /// Each key of a `ConfigMap` as a file.
    Files {
        /// The `ConfigMap`.
        map: String,
    },
}

/// A `ConfigMap` as far as it says whom to call.
#[derive(Debug, Clone)]
pub struct ConfigMap {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its keys, where their values say something.
    pub keys: BTreeMap<String, Told>,
}

/// The `ConfigMap` at a node; `None` where it has no name.
pub(super) fn config_map(node: &Node<'_>, namespace: &str) -> Option<ConfigMap> {
    let metadata = node.get("metadata")?;
    let written = text(metadata, "namespace").filter(|namespace| !namespace.is_empty());
    let data = node.get("data").and_then(Node::entries);
    let entries = data.map(|(entries, _)| entries).unwrap_or_default();
    let mut left = MOST_TEXT;
    let keys = entries.into_iter().filter_map(|entry| {
        let told = told(string(entry.value)?, &mut left);
        (!told.is_empty()).then(|| (entry.name.into_owned(), told))
    });
    Some(ConfigMap {
        namespace: written.unwrap_or(namespace).to_owned(),
        name: text(metadata, "name")
            .filter(|name| !name.is_empty())?
            .to_owned(),
        keys: keys.collect(),
    })
}

/// What the containers of an object are told. `place` is where the object begins.
pub(super) fn settings(
    node: &Node<'_>,
    kind: Kind,
    source: &Arc<Source>,
    place: &Place,
) -> Vec<Setting> {
    let path: &[&str] = match kind {
        Kind::Pod => &["spec"],
        Kind::Workload => &["spec", "template", "spec"],
        Kind::CronJob => &["spec", "jobTemplate", "spec", "template", "spec"],
        _ => return Vec::new(),
    };
    let spec = path.iter().try_fold(node, |node, field| node.get(field));
    let Some(spec) = spec else {
        return Vec::new();
    };
    let root = path
        .iter()
        .fold(FieldPath::root(), |path, field| path.field(field));
    let mut reader = Reader {
        source,
        place,
        left: MOST_TEXT,
        settings: Vec::new(),
    };
    for list in ["initContainers", "containers"] {
        for (index, container) in items(spec, list).enumerate() {
            reader.container(container, &root.field(list).index(index));
        }
    }
    for (index, volume) in items(spec, "volumes").enumerate() {
        let map = volume.get("configMap").and_then(|map| text(map, "name"));
        if let Some(map) = map {
            let path = root.field("volumes").index(index);
            let map = map.to_owned();
            reader.add(None, None, path, Says::Files { map });
        }
    }
    reader.settings
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    place: &'a Place,
    /// How much text may still be read. Aliases can stand for far more than is written.
    left: usize,
    settings: Vec<Setting>,
}

impl Reader<'_> {
    fn container(&mut self, container: &Node<'_>, path: &FieldPath) {
        let name = Some(text(container, "name").unwrap_or_default().to_owned());
        for (index, variable) in items(container, "env").enumerate() {
            let path = path.field("env").index(index);
            self.variable(variable, name.clone(), path);
        }
        for (index, from) in items(container, "envFrom").enumerate() {
            let map = from.get("configMapRef").and_then(|map| text(map, "name"));
            if let Some(map) = map {
                let says = Says::Variables {
                    map: map.to_owned(),
                    prefix: text(from, "prefix").unwrap_or_default().to_owned(),
                };
                let path = path.field("envFrom").index(index);
                self.add(name.clone(), None, path, says);
            }
        }
        for list in ["command", "args"] {
            for (index, argument) in items(container, list).enumerate() {
                let text = string(argument).unwrap_or_default();
                let mut told = told(text, &mut self.left);
                told.addresses.retain(|address| !address.is_word);
                if !told.addresses.is_empty() {
                    let path = path.field(list).index(index);
                    self.add(name.clone(), None, path, Says::Value(told));
                }
            }
        }
    }

    fn variable(&mut self, node: &Node<'_>, container: Option<String>, path: FieldPath) {
        let Some(name_node) = node.get("name") else {
            return;
        };
        let Some(name) = string(name_node) else {
            return;
        };
        let written = node.get("value");
        let from = node.get("valueFrom");
        let key = from.and_then(|from| from.get("configMapKeyRef"));
        let says = match (written.and_then(string), key) {
            (Some(value), _) => Says::Value(told(value, &mut self.left)),
            (None, Some(key)) => match (text(key, "name"), text(key, "key")) {
                (Some(map), Some(key)) => Says::Key {
                    map: map.to_owned(),
                    key: key.to_owned(),
                },
                _ => return,
            },
            (None, None) => return,
        };
        if matches!(&says, Says::Value(told) if told.is_empty()) {
            return;
        }
        let is_apart = self.stands_alone(name_node.span)
            && written.is_none_or(|value| self.line(value.span) != self.line(name_node.span));
        self.add(container, Some(name.to_owned()), path, says);
        if let Some(added) = self.settings.last_mut()
            && is_apart
        {
            added.place.span = name_node.span;
        }
    }

    fn line(&self, span: Span) -> usize {
        self.source.position(span.start).line
    }

    /// Whether a line holds no more than a list's dash, the key `name` and this name.
    fn stands_alone(&self, name: Span) -> bool {
        let line = self.source.slice(self.source.line(self.line(name)));
        let rest = line.trim().trim_start_matches('-').trim_start();
        let value = rest.strip_prefix("name:").map(str::trim);
        value.is_some_and(|value| value == self.source.slice(name).trim())
    }

    fn add(
        &mut self,
        container: Option<String>,
        variable: Option<String>,
        path: FieldPath,
        says: Says,
    ) {
        self.settings.push(Setting {
            container,
            variable,
            path,
            place: self.place.clone(),
            says,
        });
    }
}

/// What a text says, unless too much of the object was read already.
fn told(text: &str, left: &mut usize) -> Told {
    let Some(rest) = left.checked_sub(text.len()) else {
        return Told::default();
    };
    *left = rest;
    Told::new(text)
}

fn items<'n, 't>(node: &'n Node<'t>, list: &str) -> impl Iterator<Item = &'n Node<'t>> {
    let items = match node.get(list).map(|node| &node.resolved().value) {
        Some(Value::Sequence(items)) => items.as_slice(),
        _ => &[],
    };
    items.iter()
}

fn text<'n>(node: &'n Node<'_>, field: &str) -> Option<&'n str> {
    node.get(field).and_then(string)
}

fn string<'n>(node: &'n Node<'_>) -> Option<&'n str> {
    match node.scalar() {
        Some(Scalar::Text(text)) => Some(text),
        _ => None,
    }
}
