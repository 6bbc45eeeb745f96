//! Reads a NetworkPolicy strictly: what the API does not have, or not with that type, is taken out and listed.

use crate::lower::Unread;
use crate::problem::{FieldPath, ProblemKind};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::{Value, json};

/// The shape of a value.
enum Shape {
    Fields(&'static [(&'static str, &'static Shape)]),
    List(&'static Shape),
    Texts,
    Text,
    Int32,
    Int32OrText,
    Unchecked,
}

const POLICY: Shape = Shape::Fields(&[
    ("apiVersion", &Shape::Text),
    ("kind", &Shape::Text),
    ("metadata", &Shape::Unchecked),
    ("spec", &SPEC),
]);
const SPEC: Shape = Shape::Fields(&[
    ("podSelector", &SELECTOR),
    ("policyTypes", &Shape::List(&Shape::Text)),
    (
        "ingress",
        &Shape::List(&Shape::Fields(&[("from", &PEERS), ("ports", &PORTS)])),
    ),
    (
        "egress",
        &Shape::List(&Shape::Fields(&[("to", &PEERS), ("ports", &PORTS)])),
    ),
]);
const PEERS: Shape = Shape::List(&Shape::Fields(&[
    ("podSelector", &SELECTOR),
    ("namespaceSelector", &SELECTOR),
    (
        "ipBlock",
        &Shape::Fields(&[
            ("cidr", &Shape::Text),
            ("except", &Shape::List(&Shape::Text)),
        ]),
    ),
]));
const PORTS: Shape = Shape::List(&Shape::Fields(&[
    ("protocol", &Shape::Text),
    ("port", &Shape::Int32OrText),
    ("endPort", &Shape::Int32),
]));
const SELECTOR: Shape = Shape::Fields(&[
    ("matchLabels", &Shape::Texts),
    (
        "matchExpressions",
        &Shape::List(&Shape::Fields(&[
            ("key", &Shape::Text),
            ("operator", &Shape::Text),
            ("values", &Shape::List(&Shape::Text)),
        ])),
    ),
]);

/// Reads a policy, and lists what could not be read of it.
pub(super) fn policy(
    mut written: Value,
) -> Result<(NetworkPolicy, Vec<Unread>), serde_json::Error> {
    let mut unread = Vec::new();
    if !keep(&mut written, &POLICY, &FieldPath::root(), &mut unread) {
        written = json!({});
    }
    Ok((serde_json::from_value(written)?, unread))
}

/// Takes out of `value` what is not of its shape; false when the whole of it is not. A null counts as absent.
fn keep(value: &mut Value, shape: &Shape, path: &FieldPath, unread: &mut Vec<Unread>) -> bool {
    let expected = match (shape, &mut *value) {
        (_, Value::Null)
        | (Shape::Unchecked, _)
        | (Shape::Text | Shape::Int32OrText, Value::String(_)) => {
            return true;
        }
        (Shape::Int32 | Shape::Int32OrText, Value::Number(number))
            if number
                .as_i64()
                .is_some_and(|number| i32::try_from(number).is_ok()) =>
        {
            return true;
        }
        (Shape::Fields(fields), Value::Object(object)) => {
            object.retain(|name, value| {
                let path = path.field(name);
                let known = fields.iter().find(|(known, _)| known == name);
                if let Some((_, shape)) = known {
                    return keep(value, shape, &path, unread);
                }
                let kind = ProblemKind::UnknownField {
                    field: name.clone(),
                };
                unread.push(Unread { path, kind });
                false
            });
            return true;
        }
        (Shape::Texts, Value::Object(object)) => {
            object.retain(|name, value| keep(value, &Shape::Text, &path.field(name), unread));
            return true;
        }
        (Shape::List(shape), Value::Array(items)) => {
            keep_items(items, shape, path, unread);
            return true;
        }
        (Shape::Fields(_) | Shape::Texts, _) => "an object",
        (Shape::List(_), _) => "a list",
        (Shape::Text, _) => "a string",
        (Shape::Int32, _) => "a whole number of 32 bits",
        (Shape::Int32OrText, _) => "a whole number of 32 bits or a string",
    };
    let kind = ProblemKind::Mistyped {
        expected: expected.to_owned(),
        found: value.to_string(),
    };
    unread.push(Unread {
        path: path.clone(),
        kind,
    });
    false
}

/// An item of the wrong type is left out of a list of texts; in a list of objects an empty one takes its place, so
/// that the others keep their positions.
fn keep_items(items: &mut Vec<Value>, shape: &Shape, path: &FieldPath, unread: &mut Vec<Unread>) {
    let mut index = 0;
    items.retain_mut(|item| {
        let kept = keep(item, shape, &path.index(index), unread);
        index += 1;
        match (kept && !item.is_null(), shape) {
            (false, Shape::Fields(_)) => *item = json!({}),
            (false, _) => return false,
            (true, _) => {}
        }
        true
    });
}
