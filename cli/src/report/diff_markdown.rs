//! Differences as a comment on a pull request.

use std::fmt::Write;

use super::diff::{cause, has_possible, isolation, names, short};
use super::words::Words;
use crate::diff::{Change, Difference};

/// A heading, a sentence, and tables of what opened and what closed.
pub(super) fn markdown(difference: &Difference) -> String {
    let mut text = "## What this changes in the network\n\n".to_owned();
    let _ = writeln!(text, "{}", sentence(difference));
    let words = Words::new(&difference.pods);
    table(&mut text, "Opened", &difference.gained, &words);
    table(&mut text, "Closed", &difference.lost, &words);
    if has_possible(difference) {
        text.push_str("\nNames in brackets are pods that the manifests do not have, but that these policies hold for.\n");
    }
    if !difference.appeared.is_empty() {
        text.push_str("\n**New workloads**, which policies leave as follows:\n");
        for pod in &difference.appeared {
            let _ = writeln!(text, "- `{}`: {}", pod.id, isolation(pod));
        }
    }
    if !difference.vanished.is_empty() {
        let gone = difference.vanished.iter().map(|pod| format!("`{pod}`"));
        let _ = writeln!(
            text,
            "\n**Gone**, and not compared: {}.",
            short(gone.collect())
        );
    }
    text
}

fn sentence(difference: &Difference) -> String {
    let outside = |changes: &[Change]| {
        changes
            .iter()
            .any(|change| !change.from.addresses.is_empty() || !change.to.addresses.is_empty())
    };
    let (gained, lost) = (&difference.gained, &difference.lost);
    let opens = if outside(gained) {
        "opens connections, also with addresses outside the cluster"
    } else {
        "opens connections between pods"
    };
    let closes = if outside(lost) {
        "closes connections, also with addresses outside the cluster"
    } else {
        "closes connections between pods"
    };
    match (gained.is_empty(), lost.is_empty()) {
        (true, true) => "The policies allow exactly what they allowed before.".to_owned(),
        (false, true) => format!("This change {opens}, and closes none."),
        (true, false) => format!("This change {closes}, and opens none."),
        (false, false) => format!("This change {opens}; it {closes}."),
    }
}

fn table(text: &mut String, head: &str, changes: &[Change], words: &Words<'_>) {
    if changes.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n### {head}\n");
    let _ = writeln!(text, "| From | To | Ports | Because of |");
    let _ = writeln!(text, "|---|---|---|---|");
    for change in changes {
        let (from, to) = (names(&change.from, words), names(&change.to, words));
        let causes = change.causes.iter().map(|it| escape(&cause(it)));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            escape(&short(from)),
            escape(&short(to)),
            change.ports,
            causes.collect::<Vec<_>>().join("<br>"),
        );
    }
}

/// What would end a cell or begin a link or a tag.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '|' | '[' | ']' | '*' | '_' | '`' | '\\' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '<' => escaped.push_str("&lt;"),
            other => escaped.push(other),
        }
    }
    escaped
}
