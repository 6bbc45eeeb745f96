//! Whether two inputs mean the same, as text and as JSON.

use std::fmt::Write;

use policy_core::{Direction, IpSet, PodId};
use serde_json::{Value, json};

use super::matrix::ports_json;
use super::words::addresses;
use crate::args::Format;
use crate::diff::{Change, Difference, Side};
use crate::questions::equivalence::{Unlike, Witness};

/// What is to be told.
#[derive(Debug)]
pub struct Answer<'a> {
    /// What differs for the pods of the inputs.
    pub difference: &'a Difference,
    /// What differs for other pods.
    pub unlike: &'a Unlike,
    /// What the two inputs were called.
    pub names: [String; 2],
    /// Whether pods were asked for that the inputs do not hold.
    pub is_for_any: bool,
}

/// So many examples stand in the text.
const EXAMPLES: usize = 5;

/// The answer in the format asked for.
pub fn answer(answer: &Answer<'_>, format: Format) -> String {
    match format {
        Format::Text => text(answer),
        Format::Json => super::json(&as_json(answer)),
    }
}

impl Answer<'_> {
    /// The connections that one input alone allows, and which.
    fn changes(&self) -> Vec<(usize, &Change)> {
        let lost = self.difference.lost.iter().map(|change| (0, change));
        let gained = self.difference.gained.iter().map(|change| (1, change));
        lost.chain(gained).collect()
    }
}

fn text(answer: &Answer<'_>) -> String {
    let mut text = String::new();
    let changes = answer.changes();
    let (unlike, names) = (answer.unlike, &answer.names);
    if changes.is_empty() && unlike.is_empty() {
        return if answer.is_for_any {
            "They mean the same, for any pods and namespaces.\n".to_owned()
        } else {
            "They mean the same for the pods of the input.\n".to_owned()
        };
    }
    if changes.is_empty() {
        text.push_str("They mean the same for the pods of the input, but not for others.\n");
    } else {
        text.push_str("They do not mean the same.\n");
        for (side, change) in changes.iter().take(EXAMPLES) {
            let [from, to] = example(change, answer.difference);
            let _ = writeln!(
                text,
                "  only {}: {from} -> {to}: {}",
                names[*side], change.ports
            );
        }
        let more = changes.len().saturating_sub(EXAMPLES);
        if more > 0 {
            let _ = writeln!(text, "  and {more} more: nopal diff tells all of them");
        }
        return text;
    }
    for witness in unlike.witnesses.iter().take(EXAMPLES) {
        let name = &names[usize::from(witness.is_gained)];
        let [from, to] = ends(witness);
        let ports = ports(witness);
        let direction = witness.direction;
        let _ = writeln!(
            text,
            "  only {name} admits for {direction}: {from} -> {to}: {ports}"
        );
    }
    let more = unlike.witnesses.len().saturating_sub(EXAMPLES);
    if more > 0 {
        let _ = writeln!(
            text,
            "  and examples of {more} more: --format json holds all of them"
        );
    }
    for (namespace, direction) in &unlike.undecided {
        let _ = writeln!(
            text,
            "  not decided for {direction} of {namespace}: its selectors combine in more ways than are tried"
        );
    }
    text
}

/// One pair of a change: the first names of both sides that are not one pod.
fn example(change: &Change, difference: &Difference) -> [String; 2] {
    let name = |pod: usize| difference.pods[pod].0.to_string();
    let first = |side: &Side, not: Option<usize>| {
        let mut pods = side.pods.iter().copied();
        let pod = pods
            .find(|pod| Some(*pod) != not)
            .or(side.pods.first().copied());
        let address = || {
            addresses(&side.addresses)
                .into_iter()
                .next()
                .unwrap_or_default()
        };
        (pod.map_or_else(address, name), pod)
    };
    let (from, pod) = first(&change.from, None);
    let (to, _) = first(&change.to, pod);
    [from, to]
}

/// Who opens and whom to: the pod that the policies select, and the other end.
fn ends(witness: &Witness) -> [String; 2] {
    let own = witness.subject().to_string();
    let peer = peer(witness);
    match witness.direction {
        Direction::Ingress => [peer, own],
        Direction::Egress => [own, peer],
    }
}

fn peer(witness: &Witness) -> String {
    let point = &witness.point;
    let within = |set: &IpSet| addresses(set).join(", ");
    match point.peer() {
        Some(peer) if point.addresses == IpSet::full() => peer.to_string(),
        Some(peer) => format!("{peer} with an address in {}", within(&point.addresses)),
        None => within(&point.addresses),
    }
}

fn ports(witness: &Witness) -> String {
    let point = &witness.point;
    let names = point.names.iter();
    let mut words: Vec<String> = names
        .map(|(protocol, name)| format!("{protocol} port named {name}"))
        .collect();
    if !point.ports.is_empty() {
        words.insert(0, point.ports.to_string());
    }
    words.join("; ")
}

fn as_json(answer: &Answer<'_>) -> Value {
    let changes = answer.changes();
    let examples = changes.iter().map(|(side, change)| {
        let [from, to] = example(change, answer.difference);
        json!({
            "only": answer.names[*side],
            "from": from,
            "to": to,
            "allowed": ports_json(&change.ports),
        })
    });
    let unlike = answer.unlike;
    let witnesses = unlike.witnesses.iter().map(|witness| {
        let [from, to] = ends(witness);
        let names = witness.point.names.iter();
        let names =
            names.map(|(protocol, name)| json!({ "protocol": protocol.to_string(), "name": name }));
        let peer: Option<PodId> = witness.point.peer();
        json!({
            "only": answer.names[usize::from(witness.is_gained)],
            "direction": witness.direction.to_string(),
            "from": from,
            "to": to,
            "peer": if peer.is_some() { "pod" } else { "address" },
            "allowed": ports_json(witness.ports()),
            "named": names.collect::<Vec<_>>(),
        })
    });
    let undecided = unlike.undecided.iter().map(|(namespace, direction)| {
        json!({ "namespace": namespace.as_ref(), "direction": direction.to_string() })
    });
    json!({
        "equivalent": changes.is_empty() && unlike.is_empty(),
        "scope": if answer.is_for_any { "any" } else { "input" },
        "input": examples.collect::<Vec<_>>(),
        "any": witnesses.collect::<Vec<_>>(),
        "undecided": undecided.collect::<Vec<_>>(),
    })
}
