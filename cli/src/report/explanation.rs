//! Explanations as text and as JSON.

use std::fmt::Write;

use policy_core::explain::Candidate;
use policy_core::{Because, FlowPort};
use serde_json::{Value, json};

use super::{closing, unread};
use crate::args::Format;
use crate::explain::{Answer, Explanation, place};
use crate::inventory::Inventory;
use crate::manifest::{InputError, Place};

/// The explanation in the format asked for; `unread` is what it does not cover.
pub fn explanation(
    explanation: &Explanation,
    inventory: &Inventory<'_>,
    unread: &[InputError],
    format: Format,
) -> String {
    match format {
        Format::Text => unread::text(text(explanation, inventory), unread),
        Format::Json => unread::json(json(explanation, inventory), unread),
    }
}

/// The explanation for people. Families that say the same are shown once.
fn text(explanation: &Explanation, inventory: &Inventory<'_>) -> String {
    let mut text = String::new();
    let answers = &explanation.answers;
    let is_same = |answer: &Answer| {
        let (one, other) = (&answer.decision, &answers[0].decision);
        (one.verdict, &one.because) == (other.verdict, &other.because)
    };
    let shown = if answers.iter().all(is_same) {
        &answers[..1]
    } else {
        answers
    };
    for answer in shown {
        let family = if shown.len() > 1 {
            format!(" {}", answer.family)
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "{} -> {} {}{family}: {}",
            named(&explanation.from, answer.from.to_string()),
            named(&explanation.to, answer.to.to_string()),
            port(explanation.port),
            answer.decision.verdict,
        );
        reasons(&mut text, answer, inventory);
    }
    text
}

/// The explanation for programs.
fn json(explanation: &Explanation, inventory: &Inventory<'_>) -> Value {
    let answers = explanation.answers.iter().map(|answer| {
        let decision = &answer.decision;
        json!({
            "family": answer.family.to_string(),
            "from": answer.from.to_string(),
            "to": answer.to.to_string(),
            "verdict": decision.verdict.to_string(),
            "because": sentences(answer),
            "places": decision.because.iter()
                .map(|because| place(inventory, because).as_ref().map(at))
                .collect::<Vec<_>>(),
            "auditingNamespaces": decision.because.iter()
                .map(|because| auditing_namespace(inventory, because))
                .collect::<Vec<_>>(),
            "candidates": decision.candidates.iter()
                .map(|candidate| candidate_json(candidate, inventory))
                .collect::<Vec<_>>(),
            "remedies": answer.remedies.iter()
                .map(|remedy| json!({
                    "policy": remedy.policy.to_string(),
                    "path": format!("spec.{}", remedy.direction),
                    "rule": remedy.rule,
                }))
                .collect::<Vec<_>>(),
            "closings": answer.closings.iter()
                .map(|step| closing::json(step, inventory))
                .collect::<Vec<_>>(),
        })
    });
    let (number, protocol) = match explanation.port {
        FlowPort::Port(protocol, number) => (Some(number), protocol.to_string()),
        FlowPort::Other => (None, "other".to_owned()),
    };
    json!({
        "from": explanation.from,
        "to": explanation.to,
        "port": number,
        "protocol": protocol,
        "verdict": explanation.verdict().to_string(),
        "because": explanation.answers.first().map(sentences),
        "families": answers.collect::<Vec<_>>(),
    })
}

/// An answer's reasons as sentences.
pub fn sentences(answer: &Answer) -> Vec<String> {
    answer
        .decision
        .because
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn reasons(text: &mut String, answer: &Answer, inventory: &Inventory<'_>) {
    for because in &answer.decision.because {
        let place = place(inventory, because).map(|place| format!("  ({})", at(&place)));
        let mode = auditing_namespace(inventory, because);
        let mode = mode.map(|namespace| format!(", as namespace {namespace} is in audit mode"));
        let (mode, place) = (mode.unwrap_or_default(), place.unwrap_or_default());
        let _ = writeln!(text, "  because {because}{mode}{place}");
    }
    if !answer.decision.candidates.is_empty() {
        let _ = writeln!(text, "  rules that do not admit it:");
        for candidate in &answer.decision.candidates {
            let place =
                candidate_place(candidate, inventory).map(|place| format!("  ({})", at(&place)));
            let _ = writeln!(text, "    {candidate}{}", place.unwrap_or_default());
        }
    }
    if !answer.remedies.is_empty() {
        let _ = writeln!(text, "  the smallest change that admits it:");
    }
    for remedy in &answer.remedies {
        let place = inventory.policy_place(&remedy.policy);
        let place = place.map(|place| format!("  ({})", at(&place)));
        let (policy, direction) = (&remedy.policy, remedy.direction);
        let place = place.unwrap_or_default();
        let _ = writeln!(text, "    to spec.{direction} of {policy} add{place}");
        for line in remedy.yaml() {
            let _ = writeln!(text, "      {line}");
        }
    }
    closing::text(text, &answer.closings, inventory);
}

/// The namespace that a policy has its audit mode from, where it does not state it itself.
fn auditing_namespace<'c>(inventory: &'c Inventory<'_>, because: &Because) -> Option<&'c str> {
    let Because::Audited { policy, .. } = because else {
        return None;
    };
    let policy = inventory.cluster.policies().get(policy)?;
    policy
        .stated_mode
        .is_none()
        .then_some(&*policy.id.namespace)
}

fn candidate_place(candidate: &Candidate, inventory: &Inventory<'_>) -> Option<Place> {
    inventory.rule_place(&candidate.policy, candidate.direction, candidate.rule)
}

fn candidate_json(candidate: &Candidate, inventory: &Inventory<'_>) -> Value {
    json!({
        "policy": candidate.policy.to_string(),
        "direction": candidate.direction.to_string(),
        "rule": candidate.rule,
        "fails": candidate.failing.to_string(),
        "place": candidate_place(candidate, inventory).as_ref().map(at),
    })
}

pub(super) fn at(place: &Place) -> String {
    format!("{}:{}", place.source.name(), place.position().line)
}

fn named(name: &str, address: String) -> String {
    if name == address {
        address
    } else {
        format!("{name} ({address})")
    }
}

fn port(port: FlowPort) -> String {
    match port {
        FlowPort::Port(..) => port.to_string(),
        FlowPort::Other => "ICMP and other protocols".to_owned(),
    }
}
