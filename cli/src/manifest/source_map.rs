//! From an object's fields to their places in the text.

use std::sync::Arc;

use policy_core::problem::{FieldPath, Segment};

use super::source::{Position, Source, Span};
use super::tree::{Node, Value};

/// A stretch of a source.
#[derive(Debug, Clone)]
pub struct Place {
    /// The file.
    pub source: Arc<Source>,
    /// The stretch.
    pub span: Span,
}

impl Place {
    /// Line and column of the place's start.
    pub fn position(&self) -> Position {
        self.source.position(self.span.start)
    }
}

/// Which part of a field a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The key; for a list entry, its value.
    Key,
    /// The value; for a key with nothing behind it, the key.
    Value,
}

/// The places of all fields of one object.
#[derive(Debug)]
pub struct SourceMap {
    source: Arc<Source>,
    root: Field,
}

#[derive(Debug)]
struct Field {
    key: Span,
    value: Span,
    contents: Contents,
}

#[derive(Debug)]
enum Contents {
    Scalar,
    /// Sorted by their names, in the text's order where one stands there twice.
    Fields(Vec<(Box<str>, Field)>),
    Entries(Vec<Field>),
}

impl SourceMap {
    /// The places of the object at `node`.
    pub(super) fn new(source: Arc<Source>, node: &Node<'_>) -> Self {
        Self {
            source,
            root: Field::new(node.span, node),
        }
    }

    /// Whether a field is written, be it with nothing behind it.
    pub fn is_written(&self, path: &FieldPath) -> bool {
        let mut segments = path.segments().iter();
        segments
            .try_fold(&self.root, |field, segment| field.child(segment))
            .is_some()
    }

    /// Where a field stands. A field that is not written gives the closest value around it that is.
    pub fn place(&self, path: &FieldPath, part: Part) -> Place {
        let mut field = &self.root;
        let mut found_all = true;
        for segment in path.segments() {
            let Some(inner) = field.child(segment) else {
                found_all = false;
                break;
            };
            field = inner;
        }
        // Around an absent field its owner's key tells more than the owner's whole value.
        let wants_key = part == Part::Key || !found_all || field.value.start >= field.value.end;
        let span = if wants_key { field.key } else { field.value };
        Place {
            source: Arc::clone(&self.source),
            span,
        }
    }
}

impl Field {
    fn new(key: Span, node: &Node<'_>) -> Self {
        let contents = match &node.resolved().value {
            Value::Sequence(items) => Contents::Entries(
                items
                    .iter()
                    .map(|item| Self::new(item.span, item))
                    .collect(),
            ),
            Value::Mapping(_) => {
                let entries = node
                    .entries()
                    .map(|(entries, _)| entries)
                    .unwrap_or_default();
                let fields = entries
                    .into_iter()
                    .map(|entry| (Box::from(&*entry.name), Self::new(entry.key, entry.value)));
                let mut fields: Vec<(Box<str>, Self)> = fields.collect();
                fields.sort_by(|(one, _), (other, _)| one.cmp(other));
                Contents::Fields(fields)
            }
            Value::Scalar { .. } | Value::Alias(_) => Contents::Scalar,
        };
        Self {
            key,
            value: node.span,
            contents,
        }
    }

    fn child(&self, segment: &Segment) -> Option<&Self> {
        match (segment, &self.contents) {
            (Segment::Field(name), Contents::Fields(fields)) => {
                let first = fields.partition_point(|(key, _)| **key < **name);
                let found = fields.get(first).filter(|(key, _)| **key == **name);
                found.map(|(_, field)| field)
            }
            (Segment::Index(index), Contents::Entries(entries)) => entries.get(*index),
            _ => None,
        }
    }
}
