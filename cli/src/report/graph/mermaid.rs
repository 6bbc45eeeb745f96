//! The graph in Mermaid's language.

use std::fmt::Write;

use super::{label, notes, openness};
use crate::graph::{Drawing, Node};

/// Each namespace is a subgraph.
pub(super) fn mermaid(drawing: &Drawing) -> String {
    let mut text = "flowchart LR\n".to_owned();
    let numbered: Vec<(usize, &Node)> = drawing.nodes.iter().enumerate().collect();
    for (group, nodes) in numbered
        .chunk_by(|one, next| one.1.namespace == next.1.namespace)
        .enumerate()
    {
        let namespace = nodes[0].1.namespace.as_ref();
        let is_framed = namespace.is_some_and(|name| nodes.len() > 1 || *name != nodes[0].1.name);
        if let Some(name) = namespace.filter(|_| is_framed) {
            let _ = writeln!(text, "  subgraph g{group}[\"{}\"]", escaped(name));
        }
        for (number, node) in nodes {
            let mut lines = vec![escaped(&node.name)];
            lines.extend(notes(node).iter().map(|note| escaped(note)));
            let lines = lines.join("<br>");
            let _ = if node.namespace.is_none() {
                writeln!(text, "    n{number}([\"{lines}\"]):::outside")
            } else {
                writeln!(
                    text,
                    "    n{number}[\"{lines}\"]:::{}",
                    openness(node.isolation[0])
                )
            };
        }
        if is_framed {
            text.push_str("  end\n");
        }
    }
    for edge in &drawing.edges {
        let ports = escaped(&label(&edge.ports));
        let _ = writeln!(text, "  n{} -->|\"{ports}\"| n{}", edge.from, edge.to);
    }
    text.push_str(
        "  classDef closed stroke:#2f7d4f\n  classDef open stroke:#c2410c\n  classDef mixed stroke:#c2410c,stroke-dasharray:2\n  classDef audit stroke:#8a5cc2,stroke-dasharray:4\n  classDef outside stroke:#5d6a63\n",
    );
    text
}

/// Mermaid reads `#` with a number as a character; whatever else means something to it, or to Markdown and HTML around
/// it, is written so.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        let is_plain = character.is_alphanumeric() || " -_./:,;()+=…".contains(character);
        if is_plain {
            escaped.push(character);
        } else if character.is_control() {
            escaped.push('\u{fffd}');
        } else {
            let _ = write!(escaped, "#{};", u32::from(character));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn no_name_ends_its_string_or_becomes_html() {
        assert_eq!(
            escaped("a\"]<b>`#1\n"),
            "a#34;#93;#60;b#62;#96;#35;1\u{fffd}"
        );
        assert_eq!(
            escaped("Deployment/web 10.0.0.0/8"),
            "Deployment/web 10.0.0.0/8"
        );
    }
}
