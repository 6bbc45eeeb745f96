//! Answers to questions about connections, as text and as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use super::diff::{names, short, side_json};
use super::matrix::ports_json;
use super::unread;
use super::words::Words;
use crate::args::Format;
use crate::manifest::InputError;
use crate::questions::query::Answer;

/// The answer in the format asked for; `unread` is what it does not cover.
pub fn answer(answer: &Answer, unread: &[InputError], format: Format) -> String {
    match format {
        Format::Text => unread::text(text(answer), unread),
        Format::Json => unread::json(as_json(answer), unread),
    }
}

fn text(answer: &Answer) -> String {
    if answer.connections.is_empty() {
        return "Nothing connects.\n".to_owned();
    }
    let words = Words::new(&answer.pods);
    let mut text = String::new();
    let mut has_possible = false;
    for connections in &answer.connections {
        let [from, to] = [&connections.from, &connections.to].map(|side| names(side, &words));
        has_possible |= from.iter().chain(&to).any(|name| name.contains('['));
        let _ = writeln!(
            text,
            "{} -> {}: {}",
            short(from),
            short(to),
            connections.ports
        );
    }
    if has_possible {
        text.push_str(
            "\nNames in brackets are pods that the input does not have; --known leaves them out.\n",
        );
    }
    text
}

fn as_json(answer: &Answer) -> Value {
    let connections = answer.connections.iter().map(|connections| {
        json!({
            "from": side_json(&connections.from, &answer.pods),
            "to": side_json(&connections.to, &answer.pods),
            "allowed": ports_json(&connections.ports),
        })
    });
    json!({ "connections": connections.collect::<Vec<_>>() })
}
