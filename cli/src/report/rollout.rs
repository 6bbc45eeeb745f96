//! How far policies are in force, as text and as JSON.

use std::fmt::Write;

use serde_json::json;

use super::counted;
use crate::args::Format;
use crate::rollout::Answer;

/// The answer; `policy` is the one that was asked for, if it was only one.
pub fn rollout(answer: &Answer, policy: Option<&(String, String)>, format: Format) -> String {
    let policy = policy.map(|(namespace, name)| format!("{namespace}/{name}"));
    match format {
        Format::Text => text(answer, policy.as_deref()),
        Format::Json => json(answer, policy.as_deref()),
    }
}

fn text(answer: &Answer, policy: Option<&str>) -> String {
    let subject = match policy {
        Some(policy) => policy.to_owned(),
        None if answer.policies == 1 => "1 policy".to_owned(),
        None => format!("{} policies", answer.policies),
    };
    let (in_force, nodes) = (answer.in_force(), counted(answer.nodes.len(), "node"));
    let mut text = format!("{subject}: in force on {in_force} of {nodes}\n");
    for (node, lag) in &answer.nodes {
        if let Some(lag) = lag {
            let _ = writeln!(text, "  {node}: {lag}");
        }
    }
    for note in &answer.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

fn json(answer: &Answer, policy: Option<&str>) -> String {
    let lagging = answer.nodes.iter().filter_map(|(node, lag)| {
        let reason = lag.as_ref()?;
        Some(json!({ "node": node, "reason": reason }))
    });
    let value = json!({
        "policy": policy,
        "policies": answer.policies,
        "nodes": answer.nodes.len(),
        "inForce": answer.in_force(),
        "lagging": lagging.collect::<Vec<_>>(),
        "notes": answer.notes,
    });
    format!("{value:#}\n")
}
