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
    Fields(Box<[(Name, Field)]>),
    Entries(Box<[Field]>),
}

/// A field's name. Nearly all stand in the text as they are, so they are not kept a second time.
#[derive(Debug)]
enum Name {
    /// What stands where the key is.
    Written,
    /// Another text than that: the key is quoted, or no string.
    Other(Box<str>),
}

impl SourceMap {
    /// The places of the object at `node`.
    pub(super) fn new(source: Arc<Source>, node: &Node<'_>) -> Self {
        let root = Field::new(&source, node.span, node);
        Self { source, root }
    }

    /// Whether a field is written, be it with nothing behind it.
    pub fn is_written(&self, path: &FieldPath) -> bool {
        let mut segments = path.segments().iter();
        segments
            .try_fold(&self.root, |field, segment| {
                field.child(&self.source, segment)
            })
            .is_some()
    }

    /// Where a field stands. A field that is not written gives the closest value around it that is.
    pub fn place(&self, path: &FieldPath, part: Part) -> Place {
        let mut field = &self.root;
        let mut found_all = true;
        for segment in path.segments() {
            let Some(inner) = field.child(&self.source, segment) else {
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
    fn new(source: &Source, key: Span, node: &Node<'_>) -> Self {
        let contents = match &node.resolved().value {
            Value::Sequence(items) => Contents::Entries(
                items
                    .iter()
                    .map(|item| Self::new(source, item.span, item))
                    .collect(),
            ),
            Value::Mapping(_) => {
                let entries = node
                    .entries()
                    .map(|(entries, _)| entries)
                    .unwrap_or_default();
                let fields = entries.into_iter().map(|entry| {
                    let name = if source.slice(entry.key) == entry.name {
                        Name::Written
                    } else {
                        Name::Other(Box::from(&*entry.name))
                    };
                    (name, Self::new(source, entry.key, entry.value))
                });
                let mut fields: Box<[(Name, Self)]> = fields.collect();
                fields.sort_by(|one, other| named(source, one).cmp(named(source, other)));
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

    fn child(&self, source: &Source, segment: &Segment) -> Option<&Self> {
        match (segment, &self.contents) {
            (Segment::Field(name), Contents::Fields(fields)) => {
                let first = fields.partition_point(|field| named(source, field) < name.as_str());
                let found = fields.get(first);
                let found = found.filter(|field| named(source, field) == name.as_str());
                found.map(|(_, field)| field)
            }
            (Segment::Index(index), Contents::Entries(entries)) => entries.get(*index),
            _ => None,
        }
    }
}

/// What a field is called.
fn named<'m>(source: &'m Source, (name, field): &'m (Name, Field)) -> &'m str {
    match name {
        Name::Written => source.slice(field.key),
        Name::Other(name) => name,
    }
}
