//! Suggested policies as YAML and as JSON, and what is to be known about them.

use serde_json::{Value, json};

use super::matrix::ports_json;
use crate::suggest::{Suggestion, object, yaml};

/// How policies are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// To apply.
    #[default]
    Yaml,
    /// For programs.
    Json,
}

/// The policies in the format asked for.
pub fn suggestion(suggestion: &Suggestion, format: Format) -> String {
    match format {
        Format::Yaml => yaml(&suggestion.policies),
        Format::Json => super::json(&as_json(suggestion)),
    }
}

/// What is to be known, a line each.
pub fn notes(suggestion: &Suggestion) -> Vec<String> {
    let mut notes = Vec::new();
    if suggestion.policies.is_empty() && suggestion.left_out.is_empty() {
        notes.push("every flow passes already: no policy is needed".to_owned());
    }
    let left_out = suggestion.left_out.iter();
    notes.extend(left_out.map(|flow| format!("left out: line {}: {}", flow.line, flow.reason)));
    if suggestion.has_dns {
        notes.push("note: names are asked for over UDP and TCP: both are admitted".to_owned());
    }
    let besides = suggestion.besides.iter();
    notes.extend(besides.map(|besides| {
        let (from, to, ports) = (&besides.from, &besides.to, &besides.ports);
        format!("note: the labels admit besides: {from} -> {to}: {ports}")
    }));
    notes
}

fn as_json(suggestion: &Suggestion) -> Value {
    let left_out = suggestion.left_out.iter();
    let left_out = left_out.map(|flow| json!({ "line": flow.line, "reason": flow.reason }));
    let besides = suggestion.besides.iter().map(|besides| {
        json!({
            "from": besides.from.to_string(),
            "to": besides.to.to_string(),
            "allowed": ports_json(&besides.ports),
        })
    });
    json!({
        "policies": suggestion.policies.iter().map(object).collect::<Vec<_>>(),
        "leftOut": left_out.collect::<Vec<_>>(),
        "besides": besides.collect::<Vec<_>>(),
        "dns": suggestion.has_dns,
    })
}
