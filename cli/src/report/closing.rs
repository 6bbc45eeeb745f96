//! The smallest change that denies a flow, as text and as JSON.

use std::fmt::Write;

use policy_core::{Direction, FieldPath, PolicyId};
use serde_json::{Value, json};

use super::explanation::at;
use crate::closing::{Closing, Part};
use crate::inventory::{Inventory, rule_path};
use crate::manifest::Place;
use crate::remedy::flow_style;

/// The steps for people: where to remove what, as it is written there, and the policy to add.
pub(super) fn text(text: &mut String, steps: &[Closing], inventory: &Inventory<'_>) {
    if !steps.is_empty() {
        let _ = writeln!(text, "  the smallest change that denies it:");
    }
    for step in steps {
        match step {
            Closing::Remove {
                policy,
                direction,
                rule,
                part,
            } => {
                let (path, place) = place(inventory, policy, (*direction, *rule), *part);
                let at = place.as_ref().map(|place| format!("  ({})", at(place)));
                let _ = writeln!(
                    text,
                    "    remove {path} of {policy}{}",
                    at.unwrap_or_default()
                );
                for line in place.iter().flat_map(lines) {
                    let _ = writeln!(text, "      {line}");
                }
            }
            Closing::Isolate { policy, direction } => {
                let _ = writeln!(
                    text,
                    "    add a policy, which closes all other {direction} too that no rule admits"
                );
                for (key, value) in policy.as_object().into_iter().flatten() {
                    let _ = writeln!(text, "      {key}: {}", flow_style(value));
                }
            }
        }
    }
}

/// A step for programs.
pub(super) fn json(step: &Closing, inventory: &Inventory<'_>) -> Value {
    match step {
        Closing::Remove {
            policy,
            direction,
            rule,
            part,
        } => {
            let (path, place) = place(inventory, policy, (*direction, *rule), *part);
            json!({
                "action": "remove",
                "policy": policy.to_string(),
                "path": path.to_string(),
                "place": place.as_ref().map(at),
            })
        }
        Closing::Isolate { policy, direction } => {
            json!({ "action": "add", "direction": direction.to_string(), "object": policy })
        }
    }
}

fn place(
    inventory: &Inventory<'_>,
    policy: &PolicyId,
    (direction, rule): (Direction, u32),
    part: Part,
) -> (FieldPath, Option<Place>) {
    let path = rule_path(direction, rule);
    let path = match (part, direction) {
        (Part::Whole, _) => path,
        (Part::Peer(index), Direction::Ingress) => path.field("from").index(index),
        (Part::Peer(index), Direction::Egress) => path.field("to").index(index),
        (Part::Port(index), _) => path.field("ports").index(index),
    };
    let place = inventory.field_place(policy, &path);
    (path, place)
}

/// What is written at a place, without the margin of its lines.
fn lines(place: &Place) -> Vec<String> {
    let mut lines = place.source.slice(place.span).trim_end().lines();
    let first = lines.next().map(str::to_owned);
    let rest: Vec<&str> = lines.collect();
    let margin = |line: &&str| line.len() - line.trim_start().len();
    let least = rest
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(margin)
        .min();
    let rest = rest.iter().map(|line| {
        line.get(least.unwrap_or(0)..)
            .unwrap_or_default()
            .to_owned()
    });
    first.into_iter().chain(rest).collect()
}
