//! Fewer edges that mean the same.
//!
//! For each subject class and direction: what everyone may use is taken out of the other edges; peers with equal port
//! sets become one edge, and so do ports with equal peer sets; blocks are cut into disjoint ones; an edge that another
//! covers goes. Subject classes with the same edges become one. Every remaining edge keeps the grants of all edges
//! that had a part in it, so provenance survives.

use crate::cover::{drop_covered, without_covered};
use crate::flow::Direction;
use crate::graph::{Edge, Peers, RuleGraph, Subject, SubjectClass, Tier, Vertex, World};
use crate::intern::Interner;
use crate::inventory::ClassId;
use crate::ip_set::IpSet;
use crate::isolation::Isolation;
use crate::partition::{Piece, join, partition};
use crate::port_set::PortSet;
use crate::resolve::PodSetId;
use petgraph::graph::{DiGraph, NodeIndex};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl RuleGraph {
    /// A graph that decides every flow as this one does, with as few edges as the rules above leave. In it, the blocks
    /// of one subject's permissions in one direction are disjoint.
    #[must_use]
    pub fn minimize(&self) -> Self {
        if self.is_minimal {
            return self.clone();
        }
        let before: Vec<Subject> = self.subjects().collect();
        // Subjects have nothing to do with each other, so they are shared out over the cores.
        let after: Vec<Vec<MinimalEdge>> = before
            .par_iter()
            .map(|subject| {
                let edges = |direction| {
                    let permissions = subject.permissions(direction);
                    let listed: Vec<Listed> = permissions
                        .iter()
                        .map(|permission| Listed {
                            peers: permission.peers,
                            ports: &permission.edge.ports,
                            grants: &permission.edge.grants,
                        })
                        .collect();
                    minimal_edges(&listed, direction, &self.world.pod_sets)
                };
                Direction::ALL.into_iter().flat_map(edges).collect()
            })
            .collect();
        let subjects = before.iter().map(|subject| subject.class().clone());
        Self::of_minimal(subjects.zip(after), self.world.clone())
    }

    /// The graph of these subject classes, each with its minimal edges, in canonical order. Classes that mean the same
    /// become one.
    pub(crate) fn of_minimal(
        minimal: impl Iterator<Item = (SubjectClass, Vec<MinimalEdge>)>,
        world: Arc<World>,
    ) -> Self {
        let mut merged: FxHashMap<Meaning, usize> = FxHashMap::default();
        let mut subjects: Vec<(SubjectClass, Vec<MinimalEdge>)> = Vec::new();
        for (class, edges) in minimal {
            let next = subjects.len();
            match *merged.entry(Meaning::of(&class, &edges)).or_insert(next) {
                at if at == next => subjects.push((class, edges)),
                at => absorb(&mut subjects[at], &class, edges),
            }
        }
        Self::built(subjects, world)
    }

    fn built(subjects: Vec<(SubjectClass, Vec<MinimalEdge>)>, world: Arc<World>) -> Self {
        let mut graph = DiGraph::new();
        let mut peer_vertices: FxHashMap<Peers, NodeIndex> = FxHashMap::default();
        let mut subject_of = vec![None; world.inventory.classes.len()];
        for (class, edges) in subjects {
            let classes = class.classes.clone();
            let subject = graph.add_node(Vertex::Subjects(class));
            for class in classes {
                subject_of[class as usize] = Some(subject);
            }
            for MinimalEdge {
                direction,
                peers,
                ports,
                grants,
            } in edges
            {
                let peers = *peer_vertices
                    .entry(peers)
                    .or_insert_with_key(|peers| graph.add_node(Vertex::Peers(peers.clone())));
                let grants = grants.into_iter().collect();
                let edge = Edge {
                    direction,
                    tier: Tier::NetworkPolicy,
                    ports,
                    grants,
                };
                match direction {
                    Direction::Ingress => graph.add_edge(peers, subject, edge),
                    Direction::Egress => graph.add_edge(subject, peers, edge),
                };
            }
        }
        Self {
            graph,
            subject_of,
            world,
            is_minimal: true,
        }
    }
}

/// A permission before minimizing.
pub(crate) struct Listed<'a> {
    pub(crate) peers: &'a Peers,
    pub(crate) ports: &'a Arc<PortSet>,
    pub(crate) grants: &'a [u32],
}

/// An edge on its way into the new graph.
pub(crate) struct MinimalEdge {
    pub(crate) direction: Direction,
    pub(crate) peers: Peers,
    pub(crate) ports: Arc<PortSet>,
    pub(crate) grants: BTreeSet<u32>,
}

/// What a subject class means, without where that comes from.
#[derive(PartialEq, Eq, Hash)]
struct Meaning {
    isolation: [Isolation; 2],
    edges: Vec<(Direction, Peers, Arc<PortSet>)>,
}

impl Meaning {
    fn of(class: &SubjectClass, edges: &[MinimalEdge]) -> Self {
        let meanings = edges
            .iter()
            .map(|edge| (edge.direction, edge.peers.clone(), edge.ports.clone()));
        Self {
            isolation: [class.ingress, class.egress],
            edges: meanings.collect(),
        }
    }
}

/// Merges a subject class into one that means the same.
fn absorb(
    (into, into_edges): &mut (SubjectClass, Vec<MinimalEdge>),
    class: &SubjectClass,
    edges: Vec<MinimalEdge>,
) {
    into.classes.extend(&class.classes);
    into.classes.sort_unstable();
    into.groups.extend(&class.groups);
    into.groups.sort_unstable();
    into.groups.dedup();
    for (into, edge) in into_edges.iter_mut().zip(edges) {
        into.grants.extend(edge.grants);
    }
}

/// What is admitted, and where that comes from.
#[derive(Default, Clone)]
pub(crate) struct Admitted {
    pub(crate) ports: PortSet,
    pub(crate) grants: BTreeSet<u32>,
}

impl Admitted {
    fn add(&mut self, ports: &PortSet, grants: impl IntoIterator<Item = u32>) {
        self.ports = self.ports.union(ports);
        self.grants.extend(grants);
    }
}

/// The minimal edges of one subject class in one direction, in canonical order.
///
/// `permissions` are what its policies allow, equal peers and ports as one; their pod sets are numbers of `pod_sets`.
pub(crate) fn minimal_edges(
    permissions: &[Listed<'_>],
    direction: Direction,
    pod_sets: &Interner<[ClassId]>,
) -> Vec<MinimalEdge> {
    if let [only] = permissions {
        return vec![MinimalEdge {
            direction,
            peers: only.peers.clone(),
            ports: only.ports.clone(),
            grants: only.grants.iter().copied().collect(),
        }];
    }
    let mut everyone = Admitted::default();
    let mut pods: BTreeMap<PodSetId, Admitted> = BTreeMap::new();
    let mut blocks: BTreeMap<PortSet, (Vec<Arc<IpSet>>, BTreeSet<u32>)> = BTreeMap::new();
    for permission in permissions {
        let (ports, grants) = (permission.ports, permission.grants.iter().copied());
        if permission.peers.everyone {
            everyone.add(ports, grants.clone());
        }
        for &set in &permission.peers.pods {
            pods.entry(set).or_default().add(ports, grants.clone());
        }
        if !permission.peers.blocks.is_empty() {
            let entry = blocks.entry(PortSet::clone(ports)).or_default();
            entry.0.push(permission.peers.blocks.clone());
            entry.1.extend(grants);
        }
    }
    let pods = without_covered(pods, pod_sets);
    let pieces: Vec<Piece> = blocks
        .into_iter()
        .map(|(ports, (sets, grants))| Piece {
            addresses: join(sets.iter().map(Arc::as_ref)),
            ports,
            grants,
        })
        .collect();

    let mut by_ports: BTreeMap<PortSet, (Vec<PodSetId>, IpSet, BTreeSet<u32>)> = BTreeMap::new();
    for (set, admitted) in pods {
        if let Some(rest) = beyond(&mut everyone, &admitted.ports, &admitted.grants) {
            let entry = by_ports.entry(rest).or_default();
            entry.0.push(set);
            entry.2.extend(admitted.grants);
        }
    }
    for piece in partition(&pieces) {
        if let Some(rest) = beyond(&mut everyone, &piece.ports, &piece.grants) {
            let entry = by_ports.entry(rest).or_default();
            // Pieces are disjoint, but two port sets can leave the same rest beside what everyone may use.
            entry.1 = entry.1.union(&piece.addresses);
            entry.2.extend(piece.grants);
        }
    }
    let mut edges = Vec::new();
    if !everyone.ports.is_empty() {
        let peers = Peers {
            everyone: true,
            ..Peers::default()
        };
        edges.push(MinimalEdge {
            direction,
            peers,
            ports: Arc::new(everyone.ports),
            grants: everyone.grants,
        });
    }
    let first_listed = edges.len();
    edges.extend(by_ports.into_iter().map(|(ports, (pods, blocks, grants))| {
        let peers = Peers {
            everyone: false,
            pods,
            blocks: Arc::new(blocks),
        };
        MinimalEdge {
            direction,
            peers,
            ports: Arc::new(ports),
            grants,
        }
    }));
    drop_covered(&mut edges[first_listed..], pod_sets);
    edges.retain(|edge| edge.peers != Peers::default());
    edges
}

/// What `ports` admit beyond what everyone may use; `None` when nothing. "All" stays whole, because it is cheaper to
/// enforce than a remainder. Where the two overlap, everyone's edge learns of these grants.
fn beyond(everyone: &mut Admitted, ports: &PortSet, grants: &BTreeSet<u32>) -> Option<PortSet> {
    if !everyone.ports.intersection(ports).is_empty() {
        everyone.grants.extend(grants);
    }
    if everyone.ports.contains_all(ports) {
        return None;
    }
    Some(if ports.is_all() {
        ports.clone()
    } else {
        ports.difference(&everyone.ports)
    })
}

/// What a subject may exchange in `direction` with addresses that are no pod's: disjoint address sets, one for each
/// distinct non-empty port set.
pub(crate) fn outside(subject: &Subject, direction: Direction) -> Vec<(IpSet, PortSet)> {
    let piece = |addresses: IpSet, ports: &PortSet| Piece {
        addresses,
        ports: ports.clone(),
        grants: BTreeSet::new(),
    };
    let permissions = subject.permissions(direction);
    let pieces: Vec<Piece> = permissions
        .iter()
        .map(|permission| {
            let everyone = permission.is_for_everyone();
            let addresses = if everyone {
                IpSet::full()
            } else {
                permission.blocks().clone()
            };
            piece(addresses, permission.ports())
        })
        .collect();
    partition(&pieces)
        .into_iter()
        .map(|piece| (piece.addresses, piece.ports))
        .collect()
}
