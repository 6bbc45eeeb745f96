//! Where the nodes of a drawing go: namespaces are lanes, and traffic runs from left to right as far as it can.
//!
//! A node's column is the longest way to it, ways that run in circles cut. Lanes, and nodes in a column, are put near
//! to what they exchange with. Whatever is equally good is decided by the order of the names, so that the same input
//! gives the same picture.

use std::collections::BTreeMap;

use super::Drawing;

/// The width of a node.
pub const NODE_WIDTH: i32 = 196;
/// The space between columns, where edges run.
pub const COLUMN_GAP: i32 = 88;
const ROW_GAP: i32 = 14;
const LANE_PADDING: i32 = 14;
const LANE_TITLE: i32 = 24;
const LANE_GAP: i32 = 18;
const MARGIN: i32 = 24;
/// Columns of one lane that would be higher go on beside themselves.
const HIGHEST_STACK: usize = 10;
/// Ranks share columns above one of these numbers: the root of the number of nodes within them.
const FEWEST_COLUMNS: usize = 6;
const MOST_COLUMNS: usize = 9;
const SWEEPS: usize = 6;

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Frame {
    /// The left side.
    pub x: i32,
    /// The upper side.
    pub y: i32,
    /// The width.
    pub width: i32,
    /// The height.
    pub height: i32,
}

/// Where everything goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// For each node its frame.
    pub nodes: Vec<Frame>,
    /// For each node of a lane the height in this lane where no node stands, so that edges can run there. `None` where
    /// all nodes share one lane.
    pub channels: Vec<Option<i32>>,
    /// The lanes with a title: the namespace and its frame.
    pub lanes: Vec<(String, Frame)>,
    /// The size of all of it.
    pub size: (i32, i32),
}

/// Lays a drawing out. `heights` are the nodes' heights.
#[must_use]
pub fn layout(drawing: &Drawing, heights: &[i32]) -> Layout {
    let ranks = ranks(drawing);
    let (lane_of, mut names) = lanes(drawing);
    let order = lane_order(drawing, &lane_of, names.len());
    let mut stacks: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for node in 0..drawing.nodes.len() {
        let lane = order[lane_of[node]];
        stacks.entry((lane, ranks[node])).or_default().push(node);
    }
    arrange(drawing, &mut stacks);
    let mut by_order: Vec<Option<String>> = vec![None; names.len()];
    for (lane, name) in names.drain(..).enumerate() {
        by_order[order[lane]] = name;
    }
    place(&stacks, &by_order, heights)
}

/// For each node the longest way to it. A depth-first walk in the order of the nodes cuts circles.
fn ranks(drawing: &Drawing) -> Vec<usize> {
    let count = drawing.nodes.len();
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut is_target = vec![false; count];
    for edge in drawing.edges.iter().filter(|edge| edge.from != edge.to) {
        next[edge.from].push(edge.to);
        is_target[edge.to] = true;
    }
    let mut walk = Walk {
        next,
        state: vec![State::New; count],
        finished: Vec::new(),
        kept: Vec::new(),
    };
    let sources = (0..count).filter(|&node| !is_target[node]);
    for node in sources.chain(0..count) {
        walk.from(node);
    }
    let mut ranks = vec![0; count];
    let mut kept: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (from, to) in walk.kept {
        kept.entry(from).or_default().push(to);
    }
    for &node in walk.finished.iter().rev() {
        for &to in kept.get(&node).into_iter().flatten() {
            ranks[to] = ranks[to].max(ranks[node] + 1);
        }
    }
    narrowed(ranks)
}

/// A long chain would make the picture a strip, so neighbouring ranks share a column.
fn narrowed(ranks: Vec<usize>) -> Vec<usize> {
    let all = ranks.iter().max().map_or(0, |rank| rank + 1);
    let root = ranks.len().isqrt() + 1;
    let most = root.clamp(FEWEST_COLUMNS, MOST_COLUMNS);
    if all <= most {
        return ranks;
    }
    ranks.into_iter().map(|rank| rank * most / all).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

struct Walk {
    next: Vec<Vec<usize>>,
    state: Vec<State>,
    /// The nodes in the order in which they were done with.
    finished: Vec<usize>,
    /// The edges that close no circle.
    kept: Vec<(usize, usize)>,
}

impl Walk {
    /// Without recursion, since a chain can be as long as there are nodes.
    fn from(&mut self, start: usize) {
        if self.state[start] != State::New {
            return;
        }
        self.state[start] = State::Open;
        let mut path = vec![(start, 0)];
        while let Some((node, place)) = path.pop() {
            let Some(&to) = self.next[node].get(place) else {
                self.state[node] = State::Done;
                self.finished.push(node);
                continue;
            };
            path.push((node, place + 1));
            if self.state[to] != State::Open {
                self.kept.push((node, to));
            }
            if self.state[to] == State::New {
                self.state[to] = State::Open;
                path.push((to, 0));
            }
        }
    }
}

/// For each node its lane, and the lanes' titles. Namespaces that are one node each share one lane without a title.
fn lanes(drawing: &Drawing) -> (Vec<usize>, Vec<Option<String>>) {
    let is_collapsed = drawing.nodes.iter().all(|node| {
        node.namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == node.name)
    });
    let mut names: Vec<Option<String>> = Vec::new();
    let mut lane_of = Vec::new();
    for node in &drawing.nodes {
        let name = node.namespace.clone().filter(|_| !is_collapsed);
        let known = names.iter().position(|lane| *lane == name);
        lane_of.push(known.unwrap_or_else(|| {
            names.push(name);
            names.len() - 1
        }));
    }
    (lane_of, names)
}

/// For each lane its place: near to those that it exchanges with, as far as some sweeps find it.
fn lane_order(drawing: &Drawing, lane_of: &[usize], count: usize) -> Vec<usize> {
    let pairs: Vec<(usize, usize)> = drawing
        .edges
        .iter()
        .map(|edge| (lane_of[edge.from], lane_of[edge.to]))
        .filter(|(from, to)| from != to)
        .collect();
    let length = |order: &[usize]| -> usize {
        pairs
            .iter()
            .map(|&(from, to)| order[from].abs_diff(order[to]))
            .sum()
    };
    let mut order: Vec<usize> = (0..count).collect();
    let mut best = order.clone();
    for _ in 0..SWEEPS {
        let mut sums = vec![(0, 0); count];
        for &(from, to) in &pairs {
            for (one, other) in [(from, to), (to, from)] {
                sums[one].0 += order[other];
                sums[one].1 += 1;
            }
        }
        let mut sorted: Vec<usize> = (0..count).collect();
        sorted.sort_by_key(|&lane| {
            let (sum, neighbours) = sums[lane];
            let middle = (1000 * sum).checked_div(neighbours);
            let middle = middle.unwrap_or(1000 * order[lane]);
            (middle, order[lane])
        });
        for (place, &lane) in sorted.iter().enumerate() {
            order[lane] = place;
        }
        if length(&order) < length(&best) {
            best.clone_from(&order);
        }
    }
    best
}

/// Sorts each stack by the middle of what its nodes exchange with.
fn arrange(drawing: &Drawing, stacks: &mut BTreeMap<(usize, usize), Vec<usize>>) {
    let mut neighbours: Vec<Vec<usize>> = vec![Vec::new(); drawing.nodes.len()];
    for edge in &drawing.edges {
        neighbours[edge.from].push(edge.to);
        neighbours[edge.to].push(edge.from);
    }
    for _ in 0..SWEEPS {
        let mut height = vec![0; drawing.nodes.len()];
        for (&(lane, _), stack) in stacks.iter() {
            for (place, &node) in stack.iter().enumerate() {
                height[node] = 1000 * lane + 100 * place;
            }
        }
        for stack in stacks.values_mut() {
            stack.sort_by_key(|&node| {
                let around = &neighbours[node];
                let sum: usize = around.iter().map(|&other| height[other]).sum();
                (sum.checked_div(around.len()).unwrap_or(height[node]), node)
            });
        }
    }
}

/// Stacks become frames. A rank takes as many columns as its highest stack needs.
fn place(
    stacks: &BTreeMap<(usize, usize), Vec<usize>>,
    names: &[Option<String>],
    heights: &[i32],
) -> Layout {
    let ranks = stacks.keys().map(|(_, rank)| rank + 1).max().unwrap_or(0);
    let highest = stacks.values().map(Vec::len).max().unwrap_or(0);
    // About as wide as high: very many nodes make higher columns.
    let most = HIGHEST_STACK.max((highest / 3).isqrt() * 2 + 2);
    let mut columns = vec![0; ranks];
    for ((_, rank), stack) in stacks {
        columns[*rank] = columns[*rank].max(stack.len().div_ceil(most));
    }
    let mut first_column = vec![0; ranks];
    let mut total = 0;
    for (rank, &count) in columns.iter().enumerate() {
        first_column[rank] = total;
        total += count;
    }
    let x = |column: usize| MARGIN + LANE_PADDING + length(column) * (NODE_WIDTH + COLUMN_GAP);
    let width = x(total.max(1)) - COLUMN_GAP - MARGIN + LANE_PADDING;
    let mut nodes = vec![Frame::default(); heights.len()];
    let mut channels = vec![None; heights.len()];
    let mut lanes = Vec::new();
    let mut top = MARGIN;
    for (lane, name) in names.iter().enumerate() {
        let start = top
            + if name.is_some() {
                LANE_TITLE + LANE_PADDING / 2
            } else {
                LANE_PADDING
            };
        let channel = (names.len() > 1).then_some(start - 4);
        let mut bottom = start;
        for ((_, rank), stack) in stacks.range((lane, 0)..(lane + 1, 0)) {
            let share = stack
                .len()
                .div_ceil(columns[*rank].min(stack.len().div_ceil(most)));
            for (part, nodes_of_column) in stack.chunks(share).enumerate() {
                let mut y = start;
                for &node in nodes_of_column {
                    channels[node] = channel;
                    nodes[node] = Frame {
                        x: x(first_column[*rank] + part),
                        y,
                        width: NODE_WIDTH,
                        height: heights[node],
                    };
                    y += heights[node] + ROW_GAP;
                }
                bottom = bottom.max(y - ROW_GAP);
            }
        }
        let frame = Frame {
            x: MARGIN,
            y: top,
            width: width - MARGIN + LANE_PADDING,
            height: bottom + LANE_PADDING - top,
        };
        if let Some(name) = name {
            lanes.push((name.clone(), frame));
        }
        top += frame.height + LANE_GAP;
    }
    Layout {
        nodes,
        channels,
        lanes,
        size: (width + MARGIN + LANE_PADDING, top - LANE_GAP + MARGIN),
    }
}

fn length(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX / (NODE_WIDTH + COLUMN_GAP) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Edge, Node};
    use policy_core::PortSet;

    fn drawing(names: &[(&str, &str)], edges: &[(usize, usize)]) -> Drawing {
        let nodes = names.iter().map(|(namespace, name)| Node {
            namespace: Some((*namespace).to_owned()),
            name: (*name).to_owned(),
            pods: 1,
            workloads: 1,
            isolation: [None, None],
            everyone: [PortSet::empty(), PortSet::empty()],
        });
        let edges = edges.iter().map(|&(from, to)| Edge {
            from,
            to,
            ports: PortSet::all(),
            count: 1,
        });
        Drawing {
            nodes: nodes.collect(),
            edges: edges.collect(),
        }
    }

    #[test]
    fn traffic_runs_from_left_to_right_and_circles_end() {
        let drawing = drawing(
            &[("a", "db"), ("a", "api"), ("a", "web"), ("a", "alone")],
            &[(2, 1), (1, 0), (0, 2), (2, 0)],
        );
        let layout = layout(&drawing, &[40; 4]);
        let x: Vec<i32> = layout.nodes.iter().map(|frame| frame.x).collect();
        // The walk begins at the first node: db reaches web, web reaches api, and api's way back to db is cut.
        assert!(x[0] < x[2] && x[2] < x[1], "{x:?}");
    }

    #[test]
    fn no_two_nodes_overlap_and_each_is_in_its_lane() {
        let names: Vec<(String, String)> = (0..90)
            .map(|number| (format!("ns-{}", number % 7), format!("w-{number}")))
            .collect();
        let names: Vec<(&str, &str)> = names
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        let edges: Vec<(usize, usize)> = (0..90).map(|n| (n, (n * 17 + 5) % 90)).collect();
        let drawing = drawing(&names, &edges);
        let heights: Vec<i32> = (0..90).map(|n| 26 + 16 * (n % 4)).collect();
        let layout = layout(&drawing, &heights);
        let apart = |one: &Frame, other: &Frame| {
            one.x + one.width <= other.x
                || other.x + other.width <= one.x
                || one.y + one.height <= other.y
                || other.y + other.height <= one.y
        };
        for (number, one) in layout.nodes.iter().enumerate() {
            for other in &layout.nodes[..number] {
                assert!(apart(one, other), "{one:?} {other:?}");
            }
            let lane = layout
                .lanes
                .iter()
                .find(|(name, _)| *name == names[number].0);
            let (_, lane) = lane.unwrap();
            assert!(
                lane.y < one.y && one.y + one.height < lane.y + lane.height,
                "{one:?}"
            );
            assert!(
                lane.x < one.x && one.x + one.width < lane.x + lane.width,
                "{one:?} {lane:?}"
            );
            let channel = layout.channels[number].unwrap();
            assert!(lane.y < channel && channel < one.y);
        }
        let (width, height) = layout.size;
        assert!(
            layout
                .lanes
                .iter()
                .all(|(_, lane)| lane.x + lane.width < width)
        );
        assert!(
            layout
                .lanes
                .iter()
                .all(|(_, lane)| lane.y + lane.height < height)
        );
    }

    #[test]
    fn nothing_to_draw_is_laid_out_too() {
        let layout = layout(&drawing(&[], &[]), &[]);
        assert!(layout.nodes.is_empty() && layout.lanes.is_empty());
    }
}
