//! The graph in Graphviz' language.

use std::fmt::Write;

use super::{label, notes};
use crate::graph::{Drawing, Node};
use policy_core::Isolation;

/// Each namespace is a cluster. Orange borders: nothing limits what comes in.
pub(super) fn dot(drawing: &Drawing) -> String {
    let mut text = "digraph nopal {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=\"sans-serif\", fontsize=11];\n  edge [fontname=\"sans-serif\", fontsize=9, color=\"#5d6a63\"];\n".to_owned();
    let numbered: Vec<(usize, &Node)> = drawing.nodes.iter().enumerate().collect();
    for (cluster, nodes) in numbered
        .chunk_by(|one, next| one.1.namespace == next.1.namespace)
        .enumerate()
    {
        let namespace = nodes[0].1.namespace.as_ref();
        let is_framed = namespace.is_some_and(|name| nodes.len() > 1 || *name != nodes[0].1.name);
        if let Some(name) = namespace.filter(|_| is_framed) {
            let _ = writeln!(
                text,
                "  subgraph cluster_{cluster} {{\n    label={}; style=\"rounded,filled\"; color=\"#dfe4dd\"; fillcolor=\"#f6f8f4\"; fontname=\"sans-serif\";",
                quoted(name)
            );
        }
        for (number, node) in nodes {
            let mut lines = vec![node.name.clone()];
            lines.extend(notes(node));
            let look = match (&node.namespace, node.isolation[0]) {
                (None, _) => ", shape=ellipse, style=filled, fillcolor=\"#eef1ec\"",
                (Some(_), Some(Isolation::None)) => ", color=\"#c2410c\"",
                (Some(_), Some(Isolation::Audited)) => {
                    ", color=\"#8a5cc2\", style=\"rounded,filled,dashed\""
                }
                (Some(_), _) => ", color=\"#2f7d4f\"",
            };
            let _ = writeln!(
                text,
                "    n{number} [label={}{look}];",
                quoted(&lines.join("\n"))
            );
        }
        if is_framed {
            text.push_str("  }\n");
        }
    }
    for edge in &drawing.edges {
        let _ = writeln!(
            text,
            "  n{} -> n{} [label={}];",
            edge.from,
            edge.to,
            quoted(&label(&edge.ports))
        );
    }
    text.push_str("}\n");
    text
}

/// A string of the language: in it a backslash begins an escape, and a quote ends it.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for character in text.chars() {
        match character {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '\n' => quoted += "\\n",
            control if control.is_control() => quoted.push('\u{fffd}'),
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn no_name_ends_its_string() {
        assert_eq!(quoted("a\"]; b \\"), "\"a\\\"]; b \\\\\"");
        assert_eq!(quoted("a\u{0}\nb"), "\"a\u{fffd}\\nb\"");
    }
}
