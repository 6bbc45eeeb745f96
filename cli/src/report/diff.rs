//! Differences as text and as JSON.

use std::fmt::Write;

use policy_core::{Isolation, PodId};
use serde_json::{Value, json};

use super::words::{Words, addresses};
use super::{diff_markdown, unread};
use crate::diff::{Appeared, Cause, Change, Difference, Edit, Side};
use crate::inventory::Standing;
use crate::manifest::InputError;

/// How differences are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For a pull request.
    Markdown,
}

/// So many names stand on one side of a line; of more, their number.
const NAMES: usize = 8;

/// The difference in the format asked for; `unread` is what it does not cover.
pub fn diff(difference: &Difference, unread: &[InputError], format: Format) -> String {
    match format {
        Format::Text => unread::text(text(difference), unread),
        Format::Json => unread::json(as_json(difference), unread),
        Format::Markdown => unread::text(diff_markdown::markdown(difference), unread),
    }
}

fn text(difference: &Difference) -> String {
    let words = Words::new(&difference.pods);
    let mut text = String::new();
    for (changes, head, sign) in [
        (&difference.gained, "Opened:", '+'),
        (&difference.lost, "Closed:", '-'),
    ] {
        if changes.is_empty() {
            continue;
        }
        let _ = writeln!(text, "{head}");
        for change in changes {
            let (from, to) = (side(&change.from, &words), side(&change.to, &words));
            let _ = writeln!(text, "{sign} {from} -> {to}: {}", change.ports);
            for cause in &change.causes {
                let _ = writeln!(text, "    {}", self::cause(cause));
            }
        }
        text.push('\n');
    }
    if has_possible(difference) {
        text.push_str("Names in brackets are pods that the input does not have.\n\n");
    }
    if !difference.appeared.is_empty() {
        let _ = writeln!(text, "New workloads:");
        for pod in &difference.appeared {
            let _ = writeln!(text, "  {}: {}", pod.id, isolation(pod));
        }
        text.push('\n');
    }
    if !difference.vanished.is_empty() {
        let _ = writeln!(text, "Gone:");
        for pod in &difference.vanished {
            let _ = writeln!(text, "  {pod}");
        }
        text.push('\n');
    }
    let _ = writeln!(text, "{}", summary(difference));
    text
}

/// Whether a pod that is not in the input stands in a line by its name.
pub(super) fn has_possible(difference: &Difference) -> bool {
    let words = Words::new(&difference.pods);
    let changes = difference.gained.iter().chain(&difference.lost);
    let mut sides = changes.flat_map(|change| [&change.from, &change.to]);
    sides.any(|side| names(side, &words).iter().any(|name| name.contains('[')))
}

/// `2 groups of connections opened, nothing closed`
pub(super) fn summary(difference: &Difference) -> String {
    if difference.is_empty() {
        return "The policies allow the same.".to_owned();
    }
    let groups = |count| match count {
        0 => "nothing".to_owned(),
        1 => "1 group of connections".to_owned(),
        _ => format!("{count} groups of connections"),
    };
    format!(
        "{} opened, {} closed",
        groups(difference.gained.len()),
        groups(difference.lost.len())
    )
}

/// All names of a side.
pub(super) fn names(side: &Side, words: &Words<'_>) -> Vec<String> {
    let mut names = addresses(&side.addresses);
    names.extend(words.pods(&side.pods));
    if names == ["any address", "every pod"] {
        return vec!["anyone".to_owned()];
    }
    names
}

fn side(side: &Side, words: &Words<'_>) -> String {
    short(names(side, words))
}

/// The first names, and how many more there are.
pub(super) fn short(mut names: Vec<String>) -> String {
    if names.len() > NAMES {
        let more = names.len() - NAMES + 1;
        names.truncate(NAMES - 1);
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// `added shop/web (new.yaml:12)`
pub(super) fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Objects => {
            "no policy that decides this differs: labels, ports, addresses or nodes do".to_owned()
        }
        Cause::Policy {
            policy,
            edit,
            place,
        } => {
            let place = place.as_ref().map(|place| {
                let name = super::relative(place.source.name());
                format!(" ({name}:{})", place.position().line)
            });
            format!("{} {policy}{}", word(*edit), place.unwrap_or_default())
        }
    }
}

fn word(edit: Edit) -> &'static str {
    match edit {
        Edit::Added => "added",
        Edit::Removed => "removed",
        Edit::Changed => "changed",
    }
}

/// `ingress isolated, egress open`
pub(super) fn isolation(pod: &Appeared) -> String {
    let word = |isolation| match isolation {
        Isolation::None => "open",
        Isolation::Audited => "audited",
        Isolation::Enforced => "isolated",
    };
    format!("ingress {}, egress {}", word(pod.ingress), word(pod.egress))
}

fn as_json(difference: &Difference) -> Value {
    let changes = |changes: &[Change]| -> Vec<Value> {
        changes
            .iter()
            .map(|change| change_json(change, difference))
            .collect()
    };
    let appeared = difference.appeared.iter().map(|pod| {
        json!({
            "id": pod.id.to_string(),
            "isolated": {
                "ingress": pod.ingress == Isolation::Enforced,
                "egress": pod.egress == Isolation::Enforced,
            },
        })
    });
    let vanished = difference.vanished.iter();
    json!({
        "gained": changes(&difference.gained),
        "lost": changes(&difference.lost),
        "appeared": appeared.collect::<Vec<_>>(),
        "vanished": vanished.map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn change_json(change: &Change, difference: &Difference) -> Value {
    let causes = change.causes.iter().filter_map(|cause| match cause {
        Cause::Objects => None,
        Cause::Policy {
            policy,
            edit,
            place,
        } => Some(json!({
            "policy": policy.to_string(),
            "edit": word(*edit),
            "file": place.as_ref().map(|place| super::relative(place.source.name())),
            "line": place.as_ref().map(|place| place.position().line),
        })),
    });
    json!({
        "from": side_json(&change.from, &difference.pods),
        "to": side_json(&change.to, &difference.pods),
        "allowed": super::matrix::ports_json(&change.ports),
        "causes": causes.collect::<Vec<_>>(),
    })
}

/// Who, in short and in full. `possible` are those that the input does not have.
pub(super) fn side_json(side: &Side, pods: &[(PodId, Standing)]) -> Value {
    let words = Words::new(pods);
    let of = |wanted: fn(Standing) -> bool| -> Vec<String> {
        let meant = side.pods.iter().map(|&pod| &pods[pod]);
        let meant = meant.filter(|(_, standing)| wanted(*standing));
        meant.map(|(id, _)| id.to_string()).collect()
    };
    let cidrs = side.addresses.cidrs();
    json!({
        "summary": names(side, &words),
        "pods": of(|standing| standing != Standing::Possible),
        "possible": of(|standing| standing == Standing::Possible),
        "cidrs": cidrs.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
