//! Label selectors, requirement by requirement.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeMap;

/// Whether all requirements hold (4); `None` when any of them is not understood.
pub(super) fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> Option<bool> {
    let held: Option<Vec<bool>> = requirements(selector, labels).into_iter().collect();
    held.map(|held| held.iter().all(|&held| held))
}

/// For each requirement whether it holds; `None` where it is not understood.
pub(super) fn requirements(
    selector: &LabelSelector,
    labels: &BTreeMap<String, String>,
) -> Vec<Option<bool>> {
    let pairs = selector.match_labels.iter().flatten();
    let pairs =
        pairs.map(|(key, value)| expression(key, "In", std::slice::from_ref(value), labels));
    let expressions = selector.match_expressions.iter().flatten().map(|written| {
        let values = written.values.as_deref().unwrap_or_default();
        expression(&written.key, &written.operator, values, labels)
    });
    pairs.chain(expressions).collect()
}

fn expression(
    key: &str,
    operator: &str,
    values: &[String],
    labels: &BTreeMap<String, String>,
) -> Option<bool> {
    if !is_key(key) || !values.iter().all(|value| is_value(value)) {
        return None;
    }
    let is_one_of_values = labels.get(key).is_some_and(|held| values.contains(held));
    match operator {
        "In" if !values.is_empty() => Some(is_one_of_values),
        "NotIn" if !values.is_empty() => Some(!is_one_of_values),
        "Exists" if values.is_empty() => Some(labels.contains_key(key)),
        "DoesNotExist" if values.is_empty() => Some(!labels.contains_key(key)),
        _ => None,
    }
}

/// `name` or `dns.prefix/name`.
fn is_key(key: &str) -> bool {
    match key.split('/').collect::<Vec<&str>>().as_slice() {
        [name] => is_name(name),
        [prefix, name] => is_dns(prefix) && is_name(name),
        _ => false,
    }
}

fn is_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

/// 1 to 63 letters, digits, `-`, `_`, `.`, with letters or digits at the ends.
fn is_name(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    (1..=63).contains(&name.len())
        && name.chars().all(is_inner)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// Dot-separated parts of lower-case letters, digits and inner hyphens.
fn is_dns(prefix: &str) -> bool {
    let is_outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_part = |part: &str| {
        part.chars().all(|c| is_outer(c) || c == '-')
            && part.starts_with(is_outer)
            && part.ends_with(is_outer)
    };
    prefix.len() <= 253 && prefix.split('.').all(is_part)
}
