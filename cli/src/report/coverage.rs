//! Which pods policies isolate, as text and as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use super::words::Words;
use super::{counted, unread};
use crate::args::Format;
use crate::manifest::InputError;
use crate::questions::coverage::{Coverage, Side};

/// These directions in the format asked for; `unread` is what the answer does not cover.
pub fn coverage(
    coverage: &Coverage,
    sides: &[&Side],
    unread: &[InputError],
    format: Format,
) -> String {
    match format {
        Format::Text => unread::text(text(coverage, sides), unread),
        Format::Json => unread::json(as_json(coverage, sides), unread),
    }
}

fn text(coverage: &Coverage, sides: &[&Side]) -> String {
    let words = Words::new(&coverage.pods);
    let all: Vec<usize> = (0..coverage.pods.len()).collect();
    let mut text = String::new();
    for side in sides {
        let _ = writeln!(
            text,
            "{}: {} of {} isolated ({}%)",
            side.direction,
            side.isolated.len(),
            counted(side.total(), "workload"),
            side.percent(),
        );
        for (pods, what) in [(&side.audited, "only audited"), (&side.open, "no policy")] {
            for name in words.among(pods, &all) {
                let _ = writeln!(text, "  {name}: {what}");
            }
        }
    }
    if !coverage.unruled.is_empty() {
        text.push_str("on their nodes' networks, where no policy holds:\n");
        for name in words.among(&coverage.unruled, &all) {
            let _ = writeln!(text, "  {name}");
        }
    }
    text
}

fn as_json(coverage: &Coverage, sides: &[&Side]) -> Value {
    let ids = |pods: &[usize]| -> Vec<String> {
        pods.iter()
            .map(|&pod| coverage.pods[pod].0.to_string())
            .collect()
    };
    let mut value = json!({ "hostNetwork": ids(&coverage.unruled) });
    for side in sides {
        value[side.direction.to_string()] = json!({
            "workloads": side.total(),
            "isolated": side.isolated.len(),
            "percent": side.percent(),
            "audited": ids(&side.audited),
            "open": ids(&side.open),
        });
    }
    value
}
