//! The part of JSON Schema that nopal's schemas use.

use std::collections::BTreeSet;

use serde_json::Value;

/// The words of JSON Schema that [`check`] heeds, and those that only tell something.
const HEEDED: [&str; 18] = [
    "$ref",
    "additionalProperties",
    "const",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "oneOf",
    "required",
    "type",
    "uniqueItems",
];
const TELLING: [&str; 5] = ["$defs", "$schema", "description", "properties", "title"];

/// What of `value` is not as the schema has it. A property that is not described counts as well: the schemas are to be
/// complete.
fn check(value: &Value, schema: &Value, root: &Value, at: &str, wrong: &mut Vec<String>) {
    let words = schema.as_object().unwrap();
    for word in words.keys() {
        let is_known = HEEDED.contains(&word.as_str()) || TELLING.contains(&word.as_str());
        assert!(is_known, "{at}: the check does not know {word:?}");
    }
    if let Some(name) = words.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(name.strip_prefix('#').unwrap()).unwrap();
        check(value, target, root, at, wrong);
    }
    let mut expect = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("{at}: {value} is not {what}"));
        }
    };
    if let Some(types) = words.get("type") {
        let is_of = |name: &str| match name {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            other => panic!("{at}: type {other}"),
        };
        let names = types
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![types.clone()]);
        expect(
            names.iter().any(|name| is_of(name.as_str().unwrap())),
            &types.to_string(),
        );
    }
    if let Some(only) = words.get("const") {
        expect(value == only, &only.to_string());
    }
    if let Some(all) = words.get("enum") {
        expect(all.as_array().unwrap().contains(value), &all.to_string());
    }
    if let Some(number) = value.as_i64() {
        let bound = |word: &str| words.get(word).and_then(Value::as_i64);
        expect(
            bound("minimum").is_none_or(|least| number >= least),
            "large enough",
        );
        expect(
            bound("maximum").is_none_or(|most| number <= most),
            "small enough",
        );
    }
    if let Some(schemas) = words.get("oneOf").and_then(Value::as_array) {
        let fits = schemas.iter().filter(|schema| {
            let mut wrong = Vec::new();
            check(value, schema, root, at, &mut wrong);
            wrong.is_empty()
        });
        expect(fits.count() == 1, "one of the forms");
    }
    check_size(value, words, at, wrong);
    if let (Some(items), Some(list)) = (words.get("items"), value.as_array()) {
        for (index, item) in list.iter().enumerate() {
            check(item, items, root, &format!("{at}[{index}]"), wrong);
        }
    }
    if let Some(object) = value.as_object() {
        check_object(object, words, root, at, wrong);
    }
}

/// Lengths of lists and texts, and what texts must look like.
fn check_size(
    value: &Value,
    words: &serde_json::Map<String, Value>,
    at: &str,
    wrong: &mut Vec<String>,
) {
    let bounds = |length: usize, least: &str, most: &str| {
        let bound = |word: &str| words.get(word).and_then(Value::as_u64);
        let length = length as u64;
        bound(least).is_none_or(|least| length >= least)
            && bound(most).is_none_or(|most| length <= most)
    };
    if let Some(list) = value.as_array() {
        if !bounds(list.len(), "minItems", "maxItems") {
            wrong.push(format!("{at}: {} items", list.len()));
        }
        let distinct: BTreeSet<String> = list.iter().map(Value::to_string).collect();
        if words.get("uniqueItems") == Some(&Value::Bool(true)) && distinct.len() < list.len() {
            wrong.push(format!("{at}: an item stands twice"));
        }
    }
    if let Some(text) = value.as_str() {
        // Strings are as long as their UTF-16 form to GitHub.
        if !bounds(text.encode_utf16().count(), "minLength", "maxLength") {
            wrong.push(format!("{at}: {} characters", text.len()));
        }
        let fits = match words.get("format").and_then(Value::as_str) {
            None => true,
            Some("uri") => is_reference(text) && text.contains("://"),
            Some("uri-reference") => is_reference(text),
            Some(other) => panic!("{at}: the check does not know the format {other:?}"),
        };
        if !fits {
            wrong.push(format!("{at}: {text:?} is no URI"));
        }
    }
}

/// Whether a text holds only what RFC 3986 allows in a reference, each `%` with its two digits.
fn is_reference(text: &str) -> bool {
    let is_allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    let mut escapes = text.split('%').skip(1);
    text.bytes().all(is_allowed)
        && escapes.all(|rest| {
            let digits = rest.as_bytes().get(..2);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        })
}

fn check_object(
    object: &serde_json::Map<String, Value>,
    words: &serde_json::Map<String, Value>,
    root: &Value,
    at: &str,
    wrong: &mut Vec<String>,
) {
    let count = |word: &str| words.get(word).and_then(Value::as_u64);
    let length = object.len() as u64;
    if count("minProperties").is_some_and(|least| length < least)
        || count("maxProperties").is_some_and(|most| length > most)
    {
        wrong.push(format!("{at}: {length} properties"));
    }
    for name in words
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if !object.contains_key(name.as_str().unwrap()) {
            wrong.push(format!("{at}: {name} is missing"));
        }
    }
    let Some(properties) = words.get("properties") else {
        return;
    };
    for (name, value) in object {
        match properties.get(name) {
            Some(schema) => check(value, schema, root, &format!("{at}.{name}"), wrong),
            None => wrong.push(format!("{at}: {name} is not described")),
        }
    }
}

/// What of `value` is not as `schema` has it.
pub(crate) fn faults(value: &Value, schema: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    check(value, schema, schema, "", &mut wrong);
    wrong
}
