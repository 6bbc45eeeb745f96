//! A parsed YAML document whose every value and key knows its place.

use std::borrow::Cow;
use std::rc::Rc;

use policy_core::problem::{FieldPath, Segment};

use super::scalar::{self, Scalar};
use super::source::Span;

/// A value in a document.
#[derive(Debug, PartialEq)]
pub(super) struct Node<'t> {
    /// Where it stands.
    pub(super) span: Span,
    /// What it is.
    pub(super) value: Value<'t>,
}

/// What a [`Node`] is.
#[derive(Debug, PartialEq)]
pub(super) enum Value<'t> {
    /// A single value: text, number, boolean or null.
    Scalar {
        /// The text after unquoting.
        text: Cow<'t, str>,
        /// How the text is to be read.
        reading: Reading,
    },
    /// A list.
    Sequence(Vec<Node<'t>>),
    /// A mapping with its keys in written order, repeated ones included.
    Mapping(Vec<(Node<'t>, Node<'t>)>),
    /// `*name`: the value that `&name` marked.
    Alias(Rc<Node<'t>>),
}

/// How a scalar's text is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Not quoted: the text decides the type.
    Plain,
    /// Quoted, a block scalar, or tagged `!!str`: a string.
    Text,
}

/// One key with its value, after merge keys have been followed.
#[derive(Debug)]
pub(super) struct Entry<'n, 't> {
    /// The key as the API server sees it.
    pub(super) name: Cow<'n, str>,
    /// The key's place.
    pub(super) key: Span,
    /// The value.
    pub(super) value: &'n Node<'t>,
    /// Whether a merge key (`<<`) brought it in.
    merged: bool,
}

/// A key that stands twice in one mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repeated {
    pub(super) name: String,
    /// The place of the earlier key, whose value is lost.
    pub(super) earlier: Span,
    /// The place of the later key, whose value counts.
    pub(super) later: Span,
}

impl<'t> Node<'t> {
    /// The value itself, behind any alias.
    pub(super) fn resolved(&self) -> &Node<'t> {
        let mut node = self;
        while let Value::Alias(target) = &node.value {
            node = target;
        }
        node
    }

    /// The type and value of a scalar; `None` for lists and mappings.
    pub(super) fn scalar(&self) -> Option<Scalar<'_>> {
        match &self.resolved().value {
            Value::Scalar {
                text,
                reading: Reading::Plain,
            } => Some(scalar::resolve(text)),
            Value::Scalar {
                text,
                reading: Reading::Text,
            } => Some(Scalar::Text(text)),
            _ => None,
        }
    }

    /// Whether nothing stands here (`null`, `~` or no text at all).
    pub(super) fn is_null(&self) -> bool {
        matches!(self.scalar(), Some(Scalar::Null))
    }

    /// What stands here, for a message.
    pub(super) fn description(&self) -> String {
        match &self.resolved().value {
            Value::Scalar { text, .. } => match self.scalar() {
                Some(Scalar::Null) | None => "nothing".to_owned(),
                Some(Scalar::Boolean(_)) => format!("the boolean {text}"),
                Some(Scalar::Integer(_) | Scalar::Float(_)) => format!("the number {text}"),
                Some(Scalar::Text(text)) => format!("the text {}", shortened(text)),
            },
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) | Value::Alias(_) => "a mapping".to_owned(),
        }
    }

    /// Whether this is a mapping.
    pub(super) fn is_mapping(&self) -> bool {
        matches!(self.resolved().value, Value::Mapping(_))
    }

    /// The value of a key, the last one when it stands twice.
    pub(super) fn get(&self, name: &str) -> Option<&Node<'t>> {
        let Value::Mapping(pairs) = &self.resolved().value else {
            return None;
        };
        let is_named =
            |(key, _): &&(Node<'t>, Node<'t>)| !is_merge_key(key) && key_text(key) == name;
        let written = pairs.iter().rev().find(is_named).map(|(_, value)| value);
        let mut merged = pairs.iter().filter(|(key, _)| is_merge_key(key));
        written.or_else(|| merged.find_map(|(_, value)| merged_value(value, name)))
    }

    /// The value at a path, or the closest one around it that is written.
    pub(super) fn find(&self, path: &FieldPath) -> &Node<'t> {
        let mut node = self;
        for segment in path.segments() {
            let inner = match (segment, &node.resolved().value) {
                (Segment::Field(name), _) => node.get(name),
                (Segment::Index(index), Value::Sequence(items)) => items.get(*index),
                _ => None,
            };
            let Some(inner) = inner else { break };
            node = inner;
        }
        node
    }

    /// The keys and values of a mapping and the keys that stand twice, or `None` for anything else.
    ///
    /// As in the API server's reader, the last of several equal keys counts, and a key that is written out beats a
    /// merged one.
    pub(super) fn entries(&self) -> Option<(Vec<Entry<'_, 't>>, Vec<Repeated>)> {
        let Value::Mapping(pairs) = &self.resolved().value else {
            return None;
        };
        let mut entries = Entries::with_capacity(pairs.len());
        for (key, value) in pairs {
            if is_merge_key(key) {
                entries.merge(value);
            } else {
                entries.add(Entry {
                    name: key_text(key),
                    key: key.span,
                    value,
                    merged: false,
                });
            }
        }
        Some((entries.list, entries.repeated))
    }
}

/// A mapping's entries while they are gathered.
struct Entries<'n, 't> {
    list: Vec<Entry<'n, 't>>,
    repeated: Vec<Repeated>,
    /// Name to place in `list`, kept only for mappings too large to search one by one.
    index: std::collections::BTreeMap<String, usize>,
}

/// From here on an index is cheaper than comparing every key with every other.
const LARGE_MAPPING: usize = 24;

impl<'n, 't> Entries<'n, 't> {
    fn with_capacity(capacity: usize) -> Self {
        Self {
            list: Vec::with_capacity(capacity),
            repeated: Vec::new(),
            index: std::collections::BTreeMap::new(),
        }
    }

    fn add(&mut self, entry: Entry<'n, 't>) {
        let Some(place) = self.find(&entry.name) else {
            if self.list.len() >= LARGE_MAPPING {
                self.index
                    .insert(entry.name.clone().into_owned(), self.list.len());
            }
            self.list.push(entry);
            return;
        };
        let earlier = &mut self.list[place];
        if entry.merged {
            return;
        }
        if !earlier.merged {
            self.repeated.push(Repeated {
                name: entry.name.clone().into_owned(),
                earlier: earlier.key,
                later: entry.key,
            });
        }
        *earlier = entry;
    }

    fn merge(&mut self, value: &'n Node<'t>) {
        let value = value.resolved();
        if let Value::Sequence(items) = &value.value {
            for item in items {
                self.merge_mapping(item);
            }
        } else {
            self.merge_mapping(value);
        }
    }

    fn merge_mapping(&mut self, value: &'n Node<'t>) {
        for entry in value
            .entries()
            .map(|(entries, _)| entries)
            .unwrap_or_default()
        {
            self.add(Entry {
                merged: true,
                ..entry
            });
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        let front = self.list.len().min(LARGE_MAPPING);
        self.list[..front]
            .iter()
            .position(|entry| entry.name == name)
            .or_else(|| self.index.get(name).copied())
    }
}

/// What a merge key's value, one mapping or a list of them, has under a name.
fn merged_value<'n, 't>(value: &'n Node<'t>, name: &str) -> Option<&'n Node<'t>> {
    match &value.resolved().value {
        Value::Sequence(items) => items.iter().find_map(|item| item.get(name)),
        _ => value.get(name),
    }
}

fn is_merge_key(key: &Node<'_>) -> bool {
    matches!(&key.value, Value::Scalar { text, reading: Reading::Plain } if text == "<<")
}

/// A key's text. Keys of other types become text as in the API server's reader: `y` is `true`, `0x10` is `16`.
fn key_text<'n>(key: &'n Node<'_>) -> Cow<'n, str> {
    match key.scalar() {
        Some(Scalar::Text(text)) => Cow::Borrowed(text),
        Some(Scalar::Null) => Cow::Borrowed("null"),
        Some(Scalar::Boolean(value)) => Cow::Owned(value.to_string()),
        Some(Scalar::Integer(value)) => Cow::Owned(value.to_string()),
        Some(Scalar::Float(value)) => Cow::Owned(value.to_string()),
        None => Cow::Owned(key.description()),
    }
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 40;
    if text.chars().count() <= SHOWN {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("{start:?}…")
}
