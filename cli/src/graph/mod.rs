//! The rule graph as a picture: workloads or namespaces, and what may flow between those that policies isolate.
//!
//! Who may be reached by everyone has a mark in place of an edge from everyone, and where nothing is limited at either
//! end there is no edge, since there is no rule.

pub mod layout;

use std::collections::{BTreeMap, BTreeSet};

use policy_core::{Direction, Isolation, PortSet, RuleGraph};

use crate::grouped::Grouping;
use crate::picture::{Picture, Unit};
use crate::report::words;

/// With more workloads than these each namespace becomes one node.
pub const MOST_WORKLOADS: usize = 80;

/// What is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawing {
    /// The nodes: outside blocks first, then by namespace and name.
    pub nodes: Vec<Node>,
    /// The edges, sorted by their ends.
    pub edges: Vec<Edge>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The namespace; `None` for addresses that are no pod's.
    pub namespace: Option<String>,
    /// What it is called.
    pub name: String,
    /// How many pods it stands for; 0 for addresses.
    pub pods: usize,
    /// How many workloads it stands for; 0 for addresses.
    pub workloads: usize,
    /// What policies make of what its pods receive and open; `None` where they make different things of them.
    pub isolation: [Option<Isolation>; 2],
    /// What everyone may open to it, and it to everyone, where it is isolated.
    pub everyone: [PortSet; 2],
}

/// What may flow from one node to another, by rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// A position in [`Drawing::nodes`].
    pub from: usize,
    /// The same.
    pub to: usize,
    /// What passes between some of their pods.
    pub ports: PortSet,
    /// Between how many two workloads.
    pub count: usize,
}

/// Draws a picture's graph. Without a grouping, namespaces are nodes where there are very many workloads.
#[must_use]
pub fn drawing(picture: &Picture<'_>, graph: &RuleGraph, grouping: Option<Grouping>) -> Drawing {
    let known: Vec<Unit> = picture
        .units
        .iter()
        .filter(|unit| !picture.is_possible(unit))
        .cloned()
        .collect();
    let by_namespace = match grouping {
        Some(grouping) => grouping == Grouping::Namespace,
        None => known.len() > MOST_WORKLOADS,
    };
    let (mut nodes, node_of) = nodes(picture, graph, &known, by_namespace);
    let mut of_kind: Vec<Vec<usize>> = vec![Vec::new(); picture.reachable.members.len()];
    for (number, unit) in known.iter().enumerate() {
        of_kind[unit.kind].push(number);
    }
    let mut sums: BTreeMap<(usize, usize), (PortSet, usize)> = BTreeMap::new();
    for (number, from) in known.iter().enumerate() {
        for &(kind, ports) in &picture.reachable.rows[from.kind] {
            for &other in &of_kind[kind] {
                let to = &known[other];
                if number == other && from.pods.len() == 1 && !from.name.contains('/') {
                    continue;
                }
                let ports = ruled(picture, from, to, picture.reachable.table.ports(ports));
                if !ports.is_empty() {
                    let sum = sums.entry((node_of[number], node_of[other]));
                    let sum = sum.or_insert_with(|| (PortSet::empty(), 0));
                    sum.0 = sum.0.union(&ports);
                    sum.1 += 1;
                }
            }
        }
    }
    let blocks = blocks(picture, &known, &node_of);
    let first_pod_node = blocks
        .keys()
        .map(|(name, ..)| name)
        .collect::<BTreeSet<_>>()
        .len();
    let edges = sums.into_iter().map(|((from, to), (ports, count))| Edge {
        from: from + first_pod_node,
        to: to + first_pod_node,
        ports,
        count,
    });
    let mut edges: Vec<Edge> = edges.collect();
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    let mut outside = Vec::new();
    for ((name, node, direction), (ports, count)) in &blocks {
        let block = *names.entry(name).or_insert_with(|| {
            outside.push(Node {
                namespace: None,
                name: name.clone(),
                pods: 0,
                workloads: 0,
                isolation: [None, None],
                everyone: [PortSet::empty(), PortSet::empty()],
            });
            outside.len() - 1
        });
        let pods = node + first_pod_node;
        let (from, to) = match direction {
            Direction::Ingress => (block, pods),
            Direction::Egress => (pods, block),
        };
        let (ports, count) = (ports.clone(), *count);
        edges.push(Edge {
            from,
            to,
            ports,
            count,
        });
    }
    edges.sort();
    outside.append(&mut nodes);
    Drawing {
        nodes: outside,
        edges,
    }
}

/// The nodes of pods, and for each unit its node.
fn nodes(
    picture: &Picture<'_>,
    graph: &RuleGraph,
    units: &[Unit],
    by_namespace: bool,
) -> (Vec<Node>, Vec<usize>) {
    let mut nodes: Vec<Node> = Vec::new();
    let mut node_of = Vec::new();
    for unit in units {
        let pod = picture.pod_of(unit.kind);
        let isolation = Direction::ALL.map(|direction| Some(graph.isolation(pod, direction)));
        let everyone = Direction::ALL.map(|direction| everyone(picture, unit, direction));
        let is_same = |node: &&mut Node| node.namespace.as_ref() == Some(&unit.namespace);
        if by_namespace && let Some(node) = nodes.last_mut().filter(is_same) {
            node.pods += unit.pods.len();
            node.workloads += 1;
            for place in 0..2 {
                if node.isolation[place] != isolation[place] {
                    node.isolation[place] = None;
                }
                node.everyone[place] = node.everyone[place].union(&everyone[place]);
            }
        } else {
            nodes.push(Node {
                namespace: Some(unit.namespace.clone()),
                name: if by_namespace {
                    unit.namespace.clone()
                } else {
                    unit.name.clone()
                },
                pods: unit.pods.len(),
                workloads: 1,
                isolation,
                everyone,
            });
        }
        node_of.push(nodes.len() - 1);
    }
    (nodes, node_of)
}

fn isolation(picture: &Picture<'_>, unit: &Unit, direction: Direction) -> bool {
    picture.subject_of[unit.kind]
        .is_some_and(|subject| picture.subjects[subject].isolated[direction as usize])
}

/// What everyone may exchange with a unit because a rule names no peers.
fn everyone(picture: &Picture<'_>, unit: &Unit, direction: Direction) -> PortSet {
    let grants = picture.grants(unit.kind, direction).iter();
    let open = grants.filter(|grant| grant.peers.is_none());
    open.fold(PortSet::empty(), |ports, grant| ports.union(&grant.ports))
}

/// What passes between two units beyond what everyone may, if policies limit either.
fn ruled(picture: &Picture<'_>, from: &Unit, to: &Unit, ports: &PortSet) -> PortSet {
    let is_limited =
        isolation(picture, from, Direction::Egress) || isolation(picture, to, Direction::Ingress);
    if !is_limited {
        return PortSet::empty();
    }
    // What an end admits for everyone has a mark there. An edge is for what some rule says of this very peer.
    let mut told = PortSet::empty();
    for (unit, peer, direction) in [
        (from, to, Direction::Egress),
        (to, from, Direction::Ingress),
    ] {
        for grant in picture.grants(unit.kind, direction) {
            let is_peer = grant
                .peers
                .as_ref()
                .is_some_and(|peers| peers.binary_search(&peer.kind).is_ok());
            if is_peer {
                told = told.union(&grant.ports);
            }
        }
    }
    ports.intersection(&told)
}

/// What rules say of blocks: by the block's words, the node and the direction.
type Blocks = BTreeMap<(String, usize, Direction), (PortSet, usize)>;

fn blocks(picture: &Picture<'_>, units: &[Unit], node_of: &[usize]) -> Blocks {
    let mut found = Blocks::new();
    for (unit, &node) in units.iter().zip(node_of) {
        for direction in Direction::ALL {
            for grant in picture.grants(unit.kind, direction) {
                if grant.blocks.is_empty() || grant.peers.is_none() {
                    continue;
                }
                let name = words::addresses(&grant.blocks).join(", ");
                let sum = found.entry((name, node, direction));
                let sum = sum.or_insert_with(|| (PortSet::empty(), 0));
                sum.0 = sum.0.union(&grant.ports);
                sum.1 += 1;
            }
        }
    }
    found
}
