//! Exposure as text and as JSON.

use std::fmt::Write;

use policy_core::Direction;
use serde_json::{Value, json};

use super::diff::short;
use super::matrix::ports_json;
use super::unread;
use super::words::{Words, addresses};
use crate::args::Format;
use crate::inventory::{OTHER_NAMESPACE, Standing};
use crate::manifest::InputError;
use crate::questions::exposure::{Audience, Exposed, Exposure};

/// The exposure in the format asked for; `unread` is what it does not cover.
pub fn exposure(exposure: &Exposure, unread: &[InputError], format: Format) -> String {
    match format {
        Format::Text => unread::text(text(exposure), unread),
        Format::Json => unread::json(as_json(exposure), unread),
    }
}

fn text(exposure: &Exposure) -> String {
    let words = Words::new(&exposure.pods);
    let known = known(exposure);
    let mut text = String::new();
    let mut last = "";
    for line in &exposure.lines {
        let head = heading(&line.audience);
        if head != last {
            let gap = if last.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{head}:");
            last = head;
        }
        let pods = short(workloads(line, &words, &known));
        let peers = short(peers(&line.audience, &words));
        let (from, to) = match line.direction {
            Direction::Ingress => (peers, pods),
            Direction::Egress => (pods, peers),
        };
        let _ = writeln!(text, "  {from} -> {to}: {}", line.ports);
    }
    if exposure.lines.is_empty() {
        text.push_str(
            "Nothing is open to the internet, the whole cluster or unknown namespaces.\n",
        );
    }
    if !exposure.unruled.is_empty() {
        let pods = short(words.among(&exposure.unruled, &known));
        let _ = writeln!(
            text,
            "\nOn their nodes' networks, so that no policy holds for them:\n  {pods}"
        );
    }
    text
}

fn heading(audience: &Audience) -> &'static str {
    match audience {
        Audience::Anyone => "Open to anyone, pods and addresses",
        Audience::Internet(_) => "Open to the internet",
        Audience::Cluster => "Open to every pod of the cluster",
        Audience::Unknown(_) => "Open to pods of namespaces that the input does not hold",
        Audience::Addresses(_) => "Open to some addresses of the internet",
    }
}

/// The positions of the pods that the input holds.
fn known(exposure: &Exposure) -> Vec<usize> {
    let pods = exposure.pods.iter().enumerate();
    let known = pods.filter(|(_, (_, standing))| *standing != Standing::Possible);
    known.map(|(index, _)| index).collect()
}

/// The workloads in few words. Pods that the input does not hold are not meant, so "all of shop" means what it holds.
fn workloads(line: &Exposed, words: &Words<'_>, known: &[usize]) -> Vec<String> {
    words.among(&line.pods, known)
}

fn peers(audience: &Audience, words: &Words<'_>) -> Vec<String> {
    match audience {
        Audience::Anyone => vec!["anyone".to_owned()],
        Audience::Cluster => vec!["every pod".to_owned()],
        Audience::Internet(set) | Audience::Addresses(set) => addresses(set),
        Audience::Unknown(pods) => words.listed(pods),
    }
}

fn as_json(exposure: &Exposure) -> Value {
    let words = Words::new(&exposure.pods);
    let known = known(exposure);
    let id = |pod: &usize| exposure.pods[*pod].0.to_string();
    let lines = exposure.lines.iter().map(|line| {
        let mut value = json!({
            "direction": line.direction.to_string(),
            "audience": name(&line.audience),
            "allowed": ports_json(&line.ports),
            "workloads": {
                "summary": workloads(line, &words, &known),
                "pods": line.pods.iter().map(id).collect::<Vec<_>>(),
            },
        });
        match &line.audience {
            Audience::Internet(set) | Audience::Addresses(set) => {
                let cidrs = set.cidrs();
                value["cidrs"] = cidrs.iter().map(ToString::to_string).collect();
            }
            Audience::Unknown(pods) => value["possible"] = pods.iter().map(id).collect(),
            Audience::Anyone | Audience::Cluster => {}
        }
        value
    });
    json!({
        "exposed": lines.collect::<Vec<_>>(),
        "hostNetwork": exposure.unruled.iter().map(id).collect::<Vec<_>>(),
        "unknownNamespace": OTHER_NAMESPACE,
    })
}

fn name(audience: &Audience) -> &'static str {
    match audience {
        Audience::Anyone => "anyone",
        Audience::Internet(_) => "internet",
        Audience::Cluster => "cluster",
        Audience::Unknown(_) => "unknown",
        Audience::Addresses(_) => "addresses",
    }
}
