//! The rule graph for Graphviz, for Mermaid, as a picture and as JSON.

mod dot;
mod mermaid;
mod svg;

use policy_core::{Isolation, PortSet};
use serde_json::{Value, json};

use super::matrix::ports_json;
use super::unread;
use crate::graph::{Drawing, Node};
use crate::manifest::InputError;

/// How the graph is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// A picture that any browser shows, light or dark as the reader has it.
    #[default]
    Svg,
    /// For Graphviz.
    Dot,
    /// For Markdown that draws Mermaid.
    Mermaid,
    /// For programs.
    Json,
}

/// The graph in the format asked for; `unread` is what it does not cover, which JSON alone can say.
#[must_use]
pub fn graph(drawing: &Drawing, unread: &[InputError], format: Format) -> String {
    match format {
        Format::Svg => svg::svg(drawing),
        Format::Dot => dot::dot(drawing),
        Format::Mermaid => mermaid::mermaid(drawing),
        Format::Json => unread::json(as_json(drawing), unread),
    }
}

fn as_json(drawing: &Drawing) -> Value {
    let nodes = drawing.nodes.iter().map(|node| {
        let [ingress, egress] = node.isolation.map(state);
        let Some(namespace) = &node.namespace else {
            return json!({ "id": id(node), "kind": "addresses" });
        };
        let mut value = json!({
            "id": id(node),
            "kind": if node.workloads > 1 || node.name == *namespace { "namespace" } else { "workload" },
            "namespace": namespace,
            "pods": node.pods,
            "workloads": node.workloads,
            "isolated": { "ingress": ingress, "egress": egress },
        });
        for (key, ports) in ["fromEveryone", "toEveryone"].into_iter().zip(&node.everyone) {
            if !ports.is_empty() {
                value[key] = ports_json(ports);
            }
        }
        value
    });
    let edges = drawing.edges.iter().map(|edge| {
        json!({
            "from": id(&drawing.nodes[edge.from]),
            "to": id(&drawing.nodes[edge.to]),
            "allowed": ports_json(&edge.ports),
            "count": edge.count,
        })
    });
    json!({ "nodes": nodes.collect::<Vec<_>>(), "edges": edges.collect::<Vec<_>>() })
}

fn id(node: &Node) -> String {
    match &node.namespace {
        Some(namespace) if *namespace != node.name => format!("{namespace}/{}", node.name),
        _ => node.name.clone(),
    }
}

fn state(isolation: Option<Isolation>) -> &'static str {
    match isolation {
        Some(Isolation::Enforced) => "isolated",
        Some(Isolation::Audited) => "audited",
        Some(Isolation::None) => "open",
        None => "mixed",
    }
}

/// Ports as a label: short, since pictures are small.
fn label(ports: &PortSet) -> String {
    let text = ports.to_string();
    if ports.is_all() {
        return "everything".to_owned();
    }
    cut(&text, 26)
}

/// A text without what goes beyond a length.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most - 1).collect();
    format!("{kept}…")
}

/// What a node says below its name: how many it stands for, and what everyone may.
fn notes(node: &Node) -> Vec<String> {
    let mut notes = Vec::new();
    if node.workloads > 1 {
        notes.push(format!("{} workloads", node.workloads));
    } else if node.pods > 1 {
        notes.push(format!("{} pods", node.pods));
    }
    for (ports, text) in node.everyone.iter().zip(["from everyone", "to everyone"]) {
        if !ports.is_empty() {
            notes.push(format!("{text}: {}", label(ports)));
        }
    }
    notes
}

/// Whether nothing limits a direction of a node, whether only some of its pods, or whether audit alone does.
fn openness(isolation: Option<Isolation>) -> &'static str {
    match isolation {
        Some(Isolation::None) => "open",
        Some(Isolation::Audited) => "audit",
        None => "mixed",
        Some(Isolation::Enforced) => "closed",
    }
}
