//! The part of JSON Schema that nopal's schemas use.

use serde_json::Value;

/// The words of JSON Schema that [`check`] heeds, and those that only tell something.
const HEEDED: [&str; 12] = [
    "$ref",
    "additionalProperties",
    "const",
    "enum",
    "items",
    "maxProperties",
    "maximum",
    "minProperties",
    "minimum",
    "oneOf",
    "required",
    "type",
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
    if let (Some(items), Some(list)) = (words.get("items"), value.as_array()) {
        for (index, item) in list.iter().enumerate() {
            check(item, items, root, &format!("{at}[{index}]"), wrong);
        }
    }
    if let Some(object) = value.as_object() {
        check_object(object, words, root, at, wrong);
    }
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
