//! What may flow between every two pods of a cluster, without a cell for every two of them.
//!
//! Pods that the graph cannot tell apart are of one kind, and only what may flow between kinds is kept.

use std::collections::BTreeMap;

use policy_core::reach::{PortTable, PortsId};
use policy_core::{Cluster, Direction, IpSet, Pod, PodId, PortSet, RuleGraph};

use crate::inventory::Standing;
use crate::kinds::Kinds;
use crate::matrix::families;

/// What may flow in a cluster.
#[derive(Debug)]
pub struct Reachable<'a> {
    /// The pods, sorted by name; every other field counts positions in it.
    pub pods: Vec<&'a Pod>,
    /// For each kind, its pods, sorted. Kinds are sorted by their first pods.
    pub members: Vec<Vec<usize>>,
    /// For each pod, its kind.
    pub kind_of: Vec<usize>,
    /// For each kind, the kinds that it may reach on anything, sorted, and on what. A kind stands in its own row where
    /// two of its pods, or two replicas of a template, may reach each other.
    pub rows: Vec<Vec<(usize, PortsId)>>,
    /// For each kind and direction ([`Direction::ALL`]), the addresses that are no pod's, and what passes there.
    pub outside: Vec<[Vec<(IpSet, PortSet)>; 2]>,
    /// The port sets of the rows.
    pub table: PortTable,
}

impl<'a> Reachable<'a> {
    /// Asks the graph about these pods of its cluster, which have not finished. `only` narrows all answers.
    #[must_use]
    pub fn new(
        cluster: &'a Cluster,
        graph: &RuleGraph,
        pods: &[(PodId, Standing)],
        only: Option<&PortSet>,
    ) -> Self {
        let all = cluster.pods();
        let own: Vec<&'a Pod> = pods.iter().map(|(id, _)| all[id].as_ref()).collect();
        let mut table = PortTable::new();
        let kinds = Kinds::new(vec![(graph, &own)], pods, &mut table);
        let only_number = only.map_or(PortTable::ALL, |ports| table.number(ports));
        let mut rows = vec![Vec::new(); kinds.len()];
        for to in 0..kinds.len() {
            for (from, row) in rows.iter_mut().enumerate() {
                let ports = kinds.between(0, (from, to), &mut table);
                let ports = ports.map(|ports| table.intersection(ports, only_number));
                if let Some(ports) = ports.filter(|&ports| ports != PortTable::NONE) {
                    row.push((to, ports));
                }
            }
        }
        let outside = kinds.members.iter().map(|members| {
            let pod = own[members[0]];
            Direction::ALL.map(|direction| outside(graph, pod, direction, only))
        });
        let outside = outside.collect();
        let mut kind_of = vec![0; own.len()];
        for (kind, members) in kinds.members.iter().enumerate() {
            for &pod in members {
                kind_of[pod] = kind;
            }
        }
        let members = kinds.members.clone();
        Self {
            pods: own,
            members,
            kind_of,
            rows,
            outside,
            table,
        }
    }

    /// What may flow from one kind to another.
    pub fn between(&self, from: usize, to: usize) -> PortsId {
        let row = &self.rows[from];
        let found = row.binary_search_by_key(&to, |&(kind, _)| kind);
        found.map_or(PortTable::NONE, |place| row[place].1)
    }

    /// For each kind, a number that is the same for kinds that may exchange the same with the same. A kind that others
    /// cannot be told from but by what passes among its own pods stays alone.
    pub fn alike(&self) -> Vec<usize> {
        let mut columns: Vec<Vec<(usize, PortsId)>> = vec![Vec::new(); self.rows.len()];
        for (from, row) in self.rows.iter().enumerate() {
            for &(to, ports) in row {
                columns[to].push((from, ports));
            }
        }
        let mut numbers = BTreeMap::new();
        let kinds = self.rows.iter().zip(&columns).zip(&self.outside);
        kinds
            .map(|(key, outside)| {
                let next = numbers.len();
                *numbers.entry((key, outside)).or_insert(next)
            })
            .collect()
    }
}

/// The pieces within the pod's address families, without those where nothing passes.
fn outside(
    graph: &RuleGraph,
    pod: &Pod,
    direction: Direction,
    only: Option<&PortSet>,
) -> Vec<(IpSet, PortSet)> {
    let families = families(graph, pod);
    let pieces = graph.outside(pod, direction).into_iter();
    let pieces = pieces.map(|(addresses, ports)| {
        let ports = only.map_or_else(|| ports.clone(), |only| ports.intersection(only));
        (addresses.intersection(&families), ports)
    });
    pieces
        .filter(|(addresses, ports)| !addresses.is_empty() && !ports.is_empty())
        .collect()
}
