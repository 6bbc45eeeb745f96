//! Takes from a tree what a [`Shape`] asks for, and notes what does not fit.
//!
//! What is noted is left out of the value, except that list entries keep their places: rule 3 stays rule 3.

use std::borrow::Cow;

use policy_core::lower::Unread;
use policy_core::problem::{FieldPath, ProblemKind, Segment};
use serde_json::{Map, Value};

use super::scalar::Scalar;
use super::schema::{Field, Shape};
use super::source::Span;
use super::tree::{Node, Repeated};

/// What was taken.
#[derive(Debug)]
pub(super) struct Taken {
    /// The value, fit for the typed object.
    pub(super) value: Value,
    /// What did not fit, with its place.
    pub(super) unread: Vec<(Unread, Span)>,
    /// Keys that stand twice in one mapping.
    pub(super) repeated: Vec<(FieldPath, Repeated)>,
}

/// What to do with fields that a shape does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnknownFields {
    /// Note them.
    Report,
    /// Pass them over.
    Ignore,
}

/// Takes `fields` from the mapping at `node`.
pub(super) fn take(node: &Node<'_>, fields: &'static [Field], unknown: UnknownFields) -> Taken {
    let mut taker = Taker {
        unknown,
        path: Vec::new(),
        unread: Vec::new(),
        repeated: Vec::new(),
    };
    let value = taker
        .value(node, Shape::Object(fields))
        .unwrap_or_else(|| zero(Shape::Object(fields)));
    Taken {
        value,
        unread: taker.unread,
        repeated: taker.repeated,
    }
}

struct Taker<'n> {
    unknown: UnknownFields,
    path: Vec<Step<'n>>,
    unread: Vec<(Unread, Span)>,
    repeated: Vec<(FieldPath, Repeated)>,
}

/// A [`Segment`] that is written out only for what is noted.
enum Step<'n> {
    Field(Cow<'n, str>),
    Index(usize),
}

impl From<&Step<'_>> for Segment {
    fn from(step: &Step<'_>) -> Self {
        match step {
            Step::Field(name) => Self::Field(name.clone().into_owned()),
            Step::Index(index) => Self::Index(*index),
        }
    }
}

impl<'n> Taker<'n> {
    /// The value, or `None` when nothing stands there or it does not fit (which is then noted).
    fn value(&mut self, node: &'n Node<'_>, shape: Shape) -> Option<Value> {
        if node.is_null() {
            return None;
        }
        match shape {
            Shape::Anything => None,
            Shape::Object(fields) => self.object(node, fields),
            Shape::List(entry) => self.list(node, *entry),
            Shape::TextMap => self.text_map(node),
            Shape::Text | Shape::Name => self.text(node, shape),
            Shape::Time => self.time(node),
            Shape::Boolean | Shape::Integer | Shape::LongInteger | Shape::IntegerOrText => {
                self.number_or_boolean(node, shape)
            }
        }
    }

    fn object(&mut self, node: &'n Node<'_>, fields: &'static [Field]) -> Option<Value> {
        let Some((entries, repeated)) = node.entries() else {
            return self.mistyped(node, "a mapping");
        };
        self.note_repeated(repeated);
        let mut object = Map::new();
        for entry in entries {
            self.path.push(Step::Field(entry.name.clone()));
            match fields.iter().find(|field| field.name == entry.name) {
                Some(field) => {
                    if let Some(value) = self.value(entry.value, field.shape) {
                        object.insert(field.name.to_owned(), value);
                    }
                }
                None if self.unknown == UnknownFields::Report => {
                    let field = entry.name.into_owned();
                    self.note(entry.key, ProblemKind::UnknownField { field });
                }
                None => {}
            }
            self.path.pop();
        }
        Some(Value::Object(object))
    }

    fn list(&mut self, node: &'n Node<'_>, shape: Shape) -> Option<Value> {
        let super::tree::Value::Sequence(items) = &node.resolved().value else {
            return self.mistyped(node, "a list");
        };
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            self.path.push(Step::Index(index));
            let value = if item.is_null() {
                self.mistyped(item, expected(shape))
            } else {
                self.value(item, shape)
            };
            self.path.pop();
            list.push(value.unwrap_or_else(|| zero(shape)));
        }
        Some(Value::Array(list))
    }

    fn text_map(&mut self, node: &'n Node<'_>) -> Option<Value> {
        let Some((entries, repeated)) = node.entries() else {
            return self.mistyped(node, "a mapping");
        };
        self.note_repeated(repeated);
        let mut map = Map::new();
        for entry in entries {
            if let Some(Scalar::Text(text)) = entry.value.scalar() {
                map.insert(entry.name.into_owned(), Value::from(text));
            } else {
                self.path.push(Step::Field(entry.name));
                self.mistyped(entry.value, expected(Shape::Text));
                self.path.pop();
            }
        }
        Some(Value::Object(map))
    }

    fn text(&mut self, node: &Node<'_>, shape: Shape) -> Option<Value> {
        if let Some(Scalar::Text(text)) = node.scalar() {
            return Some(Value::from(text));
        }
        self.mistyped(node, expected(shape));
        match (&node.resolved().value, shape) {
            (super::tree::Value::Scalar { text, .. }, Shape::Name) => Some(Value::from(&**text)),
            _ => None,
        }
    }

    fn time(&mut self, node: &Node<'_>) -> Option<Value> {
        use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
        let value = match node.scalar() {
            Some(Scalar::Text(text)) => Value::from(text),
            _ => Value::Null,
        };
        if <Time as serde::Deserialize>::deserialize(&value).is_ok() {
            return Some(value);
        }
        self.mistyped(node, expected(Shape::Time))
    }

    fn number_or_boolean(&mut self, node: &Node<'_>, shape: Shape) -> Option<Value> {
        let value = match (node.scalar(), shape) {
            (Some(Scalar::Boolean(value)), Shape::Boolean) => Some(Value::from(value)),
            (Some(Scalar::Text(text)), Shape::IntegerOrText) => Some(Value::from(text)),
            (Some(Scalar::Integer(value)), Shape::LongInteger) => {
                i64::try_from(value).ok().map(Value::from)
            }
            (Some(Scalar::Integer(value)), Shape::Integer | Shape::IntegerOrText) => {
                i32::try_from(value).ok().map(Value::from)
            }
            // The API server's reader turns 80.0 into 80 on its way through JSON.
            (
                Some(Scalar::Float(value)),
                Shape::Integer | Shape::IntegerOrText | Shape::LongInteger,
            ) => whole(value).map(Value::from),
            _ => None,
        };
        value.or_else(|| self.mistyped(node, expected(shape)))
    }

    fn mistyped(&mut self, node: &Node<'_>, expected: &str) -> Option<Value> {
        let kind = ProblemKind::Mistyped {
            expected: expected.to_owned(),
            found: node.description(),
        };
        self.note(node.span, kind);
        None
    }

    fn note(&mut self, span: Span, kind: ProblemKind) {
        self.unread.push((
            Unread {
                path: self.path(),
                kind,
            },
            span,
        ));
    }

    fn note_repeated(&mut self, repeated: Vec<Repeated>) {
        for key in repeated {
            let path = self.path().field(&key.name);
            self.repeated.push((path, key));
        }
    }

    fn path(&self) -> FieldPath {
        self.path.iter().map(Segment::from).collect()
    }
}

fn whole(value: f64) -> Option<i32> {
    let is_whole = value.fract() == 0.0 && value.abs() <= f64::from(i32::MAX);
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 32 bits")]
    is_whole.then_some(value as i32)
}

/// What a message calls a shape.
fn expected(shape: Shape) -> &'static str {
    match shape {
        Shape::Text | Shape::Name => "a string",
        Shape::Integer => "a whole number of 32 bits",
        Shape::LongInteger => "a whole number of 64 bits",
        Shape::Boolean => "true or false",
        Shape::IntegerOrText => "a port number or name",
        Shape::Time => "a time such as 2006-01-02T15:04:05Z",
        Shape::TextMap | Shape::Object(_) | Shape::Anything => "a mapping",
        Shape::List(_) => "a list",
    }
}

/// What takes the place of a list entry that does not fit.
fn zero(shape: Shape) -> Value {
    match shape {
        Shape::Text | Shape::Name | Shape::Time => Value::from(""),
        Shape::Integer | Shape::LongInteger | Shape::IntegerOrText => Value::from(0),
        Shape::Boolean => Value::from(false),
        Shape::TextMap | Shape::Object(_) => Value::Object(Map::new()),
        Shape::List(_) => Value::Array(Vec::new()),
        Shape::Anything => Value::Null,
    }
}
