//! Makes a failing cluster small enough to read.

use super::Objects;
use serde_json::Value;

/// Fields that tell objects apart, which stay.
const IDENTITY: [&str; 3] = ["kind", "namespace", "name"];

/// Takes objects, list entries and fields away for as long as `fails` stays true, until nothing more can go.
#[must_use]
pub fn shrink(objects: &Objects, fails: impl Fn(&Objects) -> bool) -> Objects {
    let mut best = objects.clone();
    while let Some(smaller) = smaller(best.written())
        .into_iter()
        .filter_map(|written| Objects::read(written).ok())
        .find(&fails)
    {
        best = smaller;
    }
    best
}

/// Every list of objects with one thing less, the largest things first.
fn smaller(written: &[Value]) -> Vec<Vec<Value>> {
    let without_object = (0..written.len()).map(|index| {
        let mut fewer = written.to_vec();
        fewer.remove(index);
        fewer
    });
    let with_less_in_it = written.iter().enumerate().flat_map(|(index, object)| {
        less(object).into_iter().map(move |object| {
            let mut changed = written.to_vec();
            changed[index] = object;
            changed
        })
    });
    without_object.chain(with_less_in_it).collect()
}

/// Every value with one entry or field less, at any depth.
fn less(value: &Value) -> Vec<Value> {
    let mut results = Vec::new();
    match value {
        Value::Array(items) => {
            for index in 0..items.len() {
                let mut fewer = items.clone();
                fewer.remove(index);
                results.push(Value::Array(fewer));
            }
            for (index, item) in items.iter().enumerate() {
                results.extend(less(item).into_iter().map(|item| {
                    let mut changed = items.clone();
                    changed[index] = item;
                    Value::Array(changed)
                }));
            }
        }
        Value::Object(fields) => {
            for name in fields
                .keys()
                .filter(|name| !IDENTITY.contains(&name.as_str()))
            {
                let mut fewer = fields.clone();
                fewer.remove(name);
                results.push(Value::Object(fewer));
            }
            for (name, field) in fields {
                results.extend(less(field).into_iter().map(|field| {
                    let mut changed = fields.clone();
                    changed.insert(name.clone(), field);
                    Value::Object(changed)
                }));
            }
        }
        _ => {}
    }
    results
}
