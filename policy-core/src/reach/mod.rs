//! What may flow between every two of many pods, without looking at every two of them.
//!
//! Pods that a graph cannot tell apart, neither as subjects nor as peers, are of one *kind*, and a question is asked
//! once for each two kinds. Two graphs over the same pods share one [`PortTable`], so that equal answers are equal
//! numbers.

mod changes;
mod row;
mod table;

use crate::cluster::Pod;
use crate::flow::Direction;
use crate::graph::RuleGraph;
use crate::inventory::{ClassId, Owner};
use crate::ip_set::IpSet;
use crate::isolation::Isolation;
use petgraph::graph::NodeIndex;
use rustc_hash::FxHashMap;
use std::net::IpAddr;
use std::sync::Arc;

pub use changes::Changes;
use row::Row;
pub use table::{PortTable, PortsId};

/// The answers of one graph about a list of pods.
#[derive(Debug)]
pub struct Reach {
    /// For each pod, its kind.
    kind_of: Vec<u32>,
    /// For each kind, where the addresses of its pods are.
    kinds: Vec<Vec<u32>>,
    spots: Vec<Spot>,
    rows: Vec<Row>,
}

/// What a graph can tell of an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Spot {
    is_v4: bool,
    /// The class of its pod; `None` for a node's address and for one that several pods claim.
    class: Option<ClassId>,
    /// The blocks that it is in, sorted.
    blocks: Vec<u32>,
    /// What its pod may receive and open, as positions in [`Reach::rows`].
    rows: [usize; 2],
}

const EVERYTHING: usize = 0;
const NOTHING: usize = 1;

impl Reach {
    /// Prepares the answers about `pods`, which are pods of the cluster that `graph` was compiled from.
    #[must_use]
    pub fn new(graph: &RuleGraph, pods: &[&Pod], table: &mut PortTable) -> Self {
        let mut spots = Spots::new(graph);
        let mut numbers: FxHashMap<Vec<u32>, u32> = FxHashMap::default();
        let mut kinds: Vec<Vec<u32>> = Vec::new();
        let kind_of = pods.iter().map(|pod| {
            let mut kind: Vec<u32> = pod.addresses.iter().map(|&own| spots.of(own)).collect();
            kind.sort_unstable();
            kind.dedup();
            *numbers.entry(kind.clone()).or_insert_with(|| {
                kinds.push(kind);
                number(kinds.len() - 1)
            })
        });
        let kind_of = kind_of.collect();
        let rows = spots.rows(table);
        Self {
            kind_of,
            kinds,
            spots: spots.found,
            rows,
        }
    }

    /// The kind of the pod at this place of the list.
    pub fn kind(&self, pod: usize) -> u32 {
        self.kind_of[pod]
    }

    /// The number of kinds.
    pub fn kinds(&self) -> usize {
        self.kinds.len()
    }

    /// What may flow from a pod of one kind to another pod of another kind (or of the same) in any address family that
    /// both have. Pods that [`RuleGraph::is_near`] speaks of are not asked about here.
    pub fn between(&self, from: u32, to: u32, table: &mut PortTable) -> PortsId {
        let mut all = PortTable::NONE;
        for &source in &self.kinds[from as usize] {
            for &target in &self.kinds[to as usize] {
                let (one, other) = (&self.spots[source as usize], &self.spots[target as usize]);
                if one.is_v4 != other.is_v4 {
                    continue;
                }
                // Most pairs of a large cluster end here, and the next source stands beside this one in memory.
                let receives = self.row(other, Direction::Ingress, source);
                if receives == PortTable::NONE {
                    continue;
                }
                let opens = self.row(one, Direction::Egress, target);
                let both = table.intersection(opens, receives);
                all = table.union(all, both);
            }
        }
        all
    }

    /// What the policies of pods of one kind alone admit from (ingress) or to (egress) pods of another kind, in any
    /// address family that both have, whatever the other end's policies say.
    pub fn admits(
        &self,
        of: u32,
        direction: Direction,
        peer: u32,
        table: &mut PortTable,
    ) -> PortsId {
        let mut all = PortTable::NONE;
        for &own in &self.kinds[of as usize] {
            let own = &self.spots[own as usize];
            for &other in &self.kinds[peer as usize] {
                if own.is_v4 == self.spots[other as usize].is_v4 {
                    all = table.union(all, self.row(own, direction, other));
                }
            }
        }
        all
    }

    fn row(&self, of: &Spot, direction: Direction, peer: u32) -> PortsId {
        self.rows[of.rows[direction as usize]].at(peer)
    }
}

impl RuleGraph {
    /// Whether everything passes between two pods whatever policies say: they share an address, or one has the address
    /// of the other's node (semantics, rules 6 and 7).
    pub fn is_near(&self, one: &Pod, other: &Pod) -> bool {
        let mut pairs = one
            .addresses
            .iter()
            .flat_map(|from| other.addresses.iter().map(move |to| (*from, *to)));
        pairs.any(|(from, to)| {
            from.is_ipv4() == to.is_ipv4() && (from == to || self.is_own_node(from, to))
        })
    }
}

/// Finds out where addresses are.
struct Spots<'g> {
    graph: &'g RuleGraph,
    /// The distinct blocks of the graph.
    blocks: FxHashMap<&'g Arc<IpSet>, u32>,
    /// For each pod's address the blocks around it, in ascending order.
    around: FxHashMap<IpAddr, Vec<u32>>,
    numbers: FxHashMap<Spot, u32>,
    found: Vec<Spot>,
    /// The rows to be made: the subject and the direction, from position 2 on.
    subjects: Vec<(NodeIndex, Direction)>,
    row_of: FxHashMap<(NodeIndex, Direction), usize>,
}

impl<'g> Spots<'g> {
    fn new(graph: &'g RuleGraph) -> Self {
        let mut blocks: FxHashMap<&Arc<IpSet>, u32> = FxHashMap::default();
        let mut distinct: Vec<&IpSet> = Vec::new();
        for peers in graph.peers().filter(|peers| !peers.blocks.is_empty()) {
            blocks.entry(&peers.blocks).or_insert_with(|| {
                distinct.push(&peers.blocks);
                number(distinct.len() - 1)
            });
        }
        let mut around: FxHashMap<IpAddr, Vec<u32>> = FxHashMap::default();
        for (block, addresses) in (0..).zip(&distinct) {
            for (address, _) in graph.world.inventory.pods_within(addresses) {
                around.entry(address).or_default().push(block);
            }
        }
        Self {
            graph,
            blocks,
            around,
            numbers: FxHashMap::default(),
            found: Vec::new(),
            subjects: Vec::new(),
            row_of: FxHashMap::default(),
        }
    }

    /// The spot of an address.
    fn of(&mut self, address: IpAddr) -> u32 {
        let inventory = &self.graph.world.inventory;
        let (class, rows, blocks) = match inventory.owner(address) {
            Owner::Contested(_) => (None, [NOTHING; 2], Vec::new()),
            Owner::NoPod => (None, [EVERYTHING; 2], self.blocks_around(address)),
            Owner::Pod(pod) => {
                let class = inventory.class_of[pod as usize];
                let rows = Direction::ALL.map(|direction| self.row(class, direction));
                let blocks = self.around.get(&address).cloned().unwrap_or_default();
                (Some(class), rows, blocks)
            }
        };
        let spot = Spot {
            is_v4: address.is_ipv4(),
            class,
            blocks,
            rows,
        };
        if let Some(&known) = self.numbers.get(&spot) {
            return known;
        }
        let new = number(self.found.len());
        self.numbers.insert(spot.clone(), new);
        self.found.push(spot);
        new
    }

    /// Of an address that the index of pods' addresses does not know.
    fn blocks_around(&self, address: IpAddr) -> Vec<u32> {
        let around = self
            .blocks
            .iter()
            .filter(|(block, _)| block.contains(address));
        let mut numbers: Vec<u32> = around.map(|(_, &block)| block).collect();
        numbers.sort_unstable();
        numbers
    }

    /// The position of what pods of a class may exchange in one direction.
    fn row(&mut self, class: ClassId, direction: Direction) -> usize {
        let Some(subject) = self.graph.subject_of[class as usize] else {
            return EVERYTHING;
        };
        if self.graph.subject(subject).isolation(direction) != Isolation::Enforced {
            return EVERYTHING;
        }
        let position = self.subjects.len() + 2;
        *self.row_of.entry((subject, direction)).or_insert_with(|| {
            self.subjects.push((subject, direction));
            position
        })
    }

    /// What each subject admits, for all spots that were asked for.
    fn rows(&self, table: &mut PortTable) -> Vec<Row> {
        let mut of_class: FxHashMap<ClassId, Vec<u32>> = FxHashMap::default();
        let mut of_block: Vec<Vec<u32>> = vec![Vec::new(); self.blocks.len()];
        for (position, spot) in (0..).zip(&self.found) {
            if let Some(class) = spot.class {
                of_class.entry(class).or_default().push(position);
            }
            for &block in &spot.blocks {
                of_block[block as usize].push(position);
            }
        }
        let mut rows = vec![Row::of_all(PortTable::ALL), Row::of_all(PortTable::NONE)];
        for &(subject, direction) in &self.subjects {
            let mut everyone = PortTable::NONE;
            let mut some: FxHashMap<u32, PortsId> = FxHashMap::default();
            for permission in self.graph.subject(subject).permissions(direction) {
                let ports = table.number(permission.ports());
                if permission.is_for_everyone() {
                    everyone = table.union(everyone, ports);
                    continue;
                }
                let mut admit = |spot: u32| {
                    let known = some.entry(spot).or_insert(PortTable::NONE);
                    *known = table.union(*known, ports);
                };
                for class in permission.classes() {
                    let spots = of_class.get(&class).into_iter().flatten();
                    spots.copied().for_each(&mut admit);
                }
                if let Some(&block) = self.blocks.get(&permission.peers.blocks) {
                    of_block[block as usize].iter().copied().for_each(admit);
                }
            }
            rows.push(Row::new(everyone, some, table));
        }
        rows
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("fewer than 2^32 kinds and addresses")
}
