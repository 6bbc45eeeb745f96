//! The graph as a picture that follows the reader's light or dark.

use std::collections::BTreeMap;
use std::fmt::Write;

use policy_core::PortSet;

use super::super::xml::escape;
use super::{cut, id, label, notes, openness};
use crate::graph::layout::{COLUMN_GAP, Frame, Layout, layout};
use crate::graph::{Drawing, Edge};

const STYLE: &str = include_str!("../../../assets/graph.css");

const TITLE: i32 = 26;
const ROW: i32 = 16;
/// More rows than these become one that says how many there are.
const MOST_INLETS: usize = 5;
const FOOTER: i32 = 30;
/// What edges within the last column need beside it.
const BULGE: i32 = 14;
/// How far above the usual channel those edges run that part from one source, so that they are told from others.
const PARTING: i32 = 5;

/// The rows of a node: what is said of it, then the port sets that edges bring.
struct Rows {
    notes: Vec<String>,
    /// For each port set that edges bring, its row.
    inlets: BTreeMap<PortSet, usize>,
    /// The texts of these rows.
    texts: Vec<String>,
}

impl Rows {
    fn height(&self) -> i32 {
        let rows = self.notes.len() + self.texts.len();
        TITLE
            + ROW * i32::try_from(rows).unwrap_or(i32::MAX / ROW / 2)
            + if rows == 0 { 0 } else { 6 }
    }

    /// How far below the node's upper side the row of some ports is.
    fn inlet(&self, ports: &PortSet) -> i32 {
        let row = self.inlets.get(ports).copied().unwrap_or_default() + self.notes.len();
        TITLE + ROW * i32::try_from(row).unwrap_or_default() + ROW / 2
    }
}

/// The picture. The same drawing gives the same bytes.
pub(super) fn svg(drawing: &Drawing) -> String {
    let rows = rows(drawing);
    let heights: Vec<i32> = rows.iter().map(Rows::height).collect();
    let layout = layout(drawing, &heights);
    let (width, height) = (layout.size.0.max(560) + BULGE, layout.size.1 + FOOTER);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"rule graph\">\n<style>\n{STYLE}</style>\n<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    for (name, frame) in &layout.lanes {
        let _ = writeln!(
            text,
            "<rect class=\"lane\" {} rx=\"12\"/><text class=\"lane-name\" x=\"{}\" y=\"{}\">{}</text>",
            rectangle(frame),
            frame.x + 14,
            frame.y + 19,
            escape(&cut(name, 60))
        );
    }
    let mut degrees = vec![0; drawing.nodes.len()];
    for edge in &drawing.edges {
        degrees[edge.from] += 1;
        degrees[edge.to] += 1;
    }
    for edge in drawing.edges.iter().filter(|edge| edge.from != edge.to) {
        let inlet = rows[edge.to].inlet(&edge.ports);
        draw_edge(&mut text, drawing, edge, &layout, &degrees, inlet);
    }
    for (number, frame) in layout.nodes.iter().enumerate() {
        draw_node(&mut text, drawing, number, frame, &rows[number]);
    }
    legend(&mut text, height);
    text.push_str("</svg>\n");
    text
}

fn rows(drawing: &Drawing) -> Vec<Rows> {
    let mut brought: Vec<BTreeMap<&PortSet, usize>> = vec![BTreeMap::new(); drawing.nodes.len()];
    let mut among: Vec<Option<&PortSet>> = vec![None; drawing.nodes.len()];
    for edge in &drawing.edges {
        if edge.from == edge.to {
            among[edge.to] = Some(&edge.ports);
        } else {
            *brought[edge.to].entry(&edge.ports).or_default() += 1;
        }
    }
    let nodes = drawing.nodes.iter().zip(brought).zip(among);
    nodes
        .map(|((node, brought), among)| {
            let mut said = notes(node);
            said.extend(among.map(|ports| format!("among themselves: {}", label(ports))));
            // The most used ones have rows of their own.
            let mut sorted: Vec<(&PortSet, usize)> = brought.into_iter().collect();
            sorted.sort_by_key(|(ports, count)| (std::cmp::Reverse(*count), *ports));
            let mut texts: Vec<String> = sorted
                .iter()
                .take(MOST_INLETS)
                .map(|(ports, _)| label(ports))
                .collect();
            let inlets = sorted
                .iter()
                .enumerate()
                .map(|(row, (ports, _))| ((*ports).clone(), row.min(MOST_INLETS)));
            let inlets = inlets.collect();
            if sorted.len() > MOST_INLETS {
                texts.push(format!("{} more sets of ports", sorted.len() - MOST_INLETS));
            }
            Rows {
                notes: said,
                inlets,
                texts,
            }
        })
        .collect()
}

/// From side to side, whichever look at each other. What goes past other columns runs above the nodes of a lane: of the
/// end that has more edges, so that they make one line up to where they part.
fn draw_edge(
    text: &mut String,
    drawing: &Drawing,
    edge: &Edge,
    layout: &Layout,
    degrees: &[usize],
    inlet: i32,
) {
    let (from, to) = (&layout.nodes[edge.from], &layout.nodes[edge.to]);
    let (start_y, end_y) = (from.y + TITLE / 2, to.y + inlet);
    let parts = degrees[edge.from] > degrees[edge.to];
    let channel = if parts {
        layout.channels[edge.to].map(|y| y - PARTING)
    } else {
        layout.channels[edge.from]
    };
    let right = from.x + from.width;
    let (path, end) = if to.x == from.x {
        let bend = right + COLUMN_GAP / 2;
        (
            format!("M{right} {start_y}C{bend} {start_y} {bend} {end_y} {right} {end_y}"),
            right,
        )
    } else {
        let (start, end, gap) = if to.x > from.x {
            (right, to.x, COLUMN_GAP)
        } else {
            (from.x, to.x + to.width, -COLUMN_GAP)
        };
        let channel = channel.filter(|_| (end - start).abs() > COLUMN_GAP);
        let path = if let Some(y) = channel {
            let (leave, arrive) = (start + gap / 2, end - gap / 2);
            format!(
                "M{start} {start_y}C{leave} {start_y} {leave} {y} {} {y}H{}C{arrive} {y} {arrive} {end_y} {end} {end_y}",
                start + gap,
                end - gap
            )
        } else {
            let bend = (end - start) / 2;
            format!(
                "M{start} {start_y}C{} {start_y} {} {end_y} {end} {end_y}",
                start + bend,
                end - bend
            )
        };
        (path, end)
    };
    let weight = match edge.count {
        0..=1 => "",
        2..=9 => " some",
        _ => " many",
    };
    let title = format!(
        "{} → {}: {}",
        id(&drawing.nodes[edge.from]),
        id(&drawing.nodes[edge.to]),
        edge.ports
    );
    let _ = writeln!(
        text,
        "<g class=\"edge{weight}\"><title>{}</title><path d=\"{path}\"/><circle cx=\"{end}\" cy=\"{end_y}\" r=\"3\"/></g>",
        escape(&title)
    );
}

fn draw_node(text: &mut String, drawing: &Drawing, number: usize, frame: &Frame, rows: &Rows) {
    let node = &drawing.nodes[number];
    let look = if node.namespace.is_none() {
        "outside"
    } else {
        "pods"
    };
    let title = format!(
        "{}{}",
        id(node),
        rows.notes
            .iter()
            .fold(String::new(), |all, note| format!("{all}\n{note}"))
    );
    let _ = writeln!(
        text,
        "<g class=\"node {look}\"><title>{}</title><rect class=\"box\" {} rx=\"8\"/>",
        escape(&title),
        rectangle(frame)
    );
    if node.namespace.is_some() {
        // The left side shows what comes in, the right side what goes out.
        for (place, x) in [(0, frame.x), (1, frame.x + frame.width - 4)] {
            let _ = writeln!(
                text,
                "<rect class=\"side {}\" x=\"{x}\" y=\"{}\" width=\"4\" height=\"{}\" rx=\"2\"/>",
                openness(node.isolation[place]),
                frame.y + 5,
                frame.height - 10
            );
        }
    }
    let x = frame.x + 13;
    let _ = writeln!(
        text,
        "<text class=\"name\" x=\"{x}\" y=\"{}\">{}</text>",
        frame.y + 18,
        escape(&cut(&node.name, 23))
    );
    let notes = rows.notes.iter().map(|note| ("note", note));
    let lines = notes.chain(rows.texts.iter().map(|ports| ("inlet", ports)));
    let mut y = frame.y + TITLE + 12;
    for (look, line) in lines {
        let _ = writeln!(
            text,
            "<text class=\"{look}\" x=\"{x}\" y=\"{y}\">{}</text>",
            escape(&cut(line, 28))
        );
        y += ROW;
    }
    text.push_str("</g>\n");
}

fn rectangle(frame: &Frame) -> String {
    format!(
        "x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
        frame.x, frame.y, frame.width, frame.height
    )
}

fn legend(text: &mut String, height: i32) {
    let y = height - 24;
    let entries = [
        ("closed", "limited"),
        ("open", "nothing limits it"),
        ("mixed", "some of it"),
        ("audit", "audited only"),
    ];
    let mut x = 28;
    for (look, word) in entries {
        let _ = writeln!(
            text,
            "<rect class=\"side {look}\" x=\"{x}\" y=\"{}\" width=\"4\" height=\"13\" rx=\"2\"/><text class=\"note\" x=\"{}\" y=\"{y}\">{word}</text>",
            y - 11,
            x + 10
        );
        x += 34 + 7 * i32::try_from(word.len()).unwrap_or_default();
    }
    let _ = writeln!(
        text,
        "<text class=\"note\" x=\"{x}\" y=\"{y}\">left side: what comes in · right side: what goes out</text>"
    );
}
