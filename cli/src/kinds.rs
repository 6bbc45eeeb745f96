//! Pods that none of some graphs can tell apart: what is the same for all of them is asked once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use policy_core::reach::{Changes, PortTable, PortsId, Reach};
use policy_core::{Direction, Pod, PodId, RuleGraph};

use crate::inventory::Standing;
use crate::matrix::families;

/// A graph, and the pods in question as its cluster has them.
pub(crate) type Compared<'a> = (&'a RuleGraph, &'a [&'a Pod]);

/// The kinds of pods.
pub(crate) struct Kinds<'a> {
    sides: Vec<Compared<'a>>,
    reaches: Vec<Reach>,
    /// For each kind, its pods: positions in the list of pods.
    pub(crate) members: Vec<Vec<usize>>,
    /// For each kind, whether only the new input has its pods.
    has_appeared: Vec<bool>,
    /// For each kind, whether a pod of it may reach its like: a template stands for several pods.
    pub(crate) has_inner: Vec<bool>,
    /// For each kind, whether it is one pod that may be near to others.
    is_alone: Vec<bool>,
    /// For each pod, whether it stands for several.
    is_template: Vec<bool>,
}

impl<'a> Kinds<'a> {
    /// Sorts pods into kinds. All sides have the same pods in the same order.
    pub(crate) fn new(
        sides: Vec<Compared<'a>>,
        pods: &[(PodId, Standing)],
        table: &mut PortTable,
    ) -> Self {
        let reaches = sides
            .iter()
            .map(|(graph, pods)| Reach::new(graph, pods, table));
        let reaches: Vec<Reach> = reaches.collect();
        let hosts = hosts(&sides);
        let sharing = sharing(&sides);
        let mut numbers: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, (id, standing)) in pods.iter().enumerate() {
            let each = || sides.iter().map(|(_, pods)| pods[index]);
            // What is on a node's network is near to the pods of this node alone, and what shares an address to who
            // else has it.
            let is_alone = each().any(|pod| pod.host_network) || sharing.contains(&index);
            let near = each().map(|pod| pod.node.clone().filter(|node| hosts.contains(node)));
            let key = (
                reaches
                    .iter()
                    .map(|reach| reach.kind(index))
                    .collect::<Vec<_>>(),
                *standing == Standing::Appeared,
                near.collect::<Vec<_>>(),
                is_alone.then_some(index),
                is_template(&id.name, *standing),
                // An address can be another pod's, whose kind it then has towards pods.
                sides
                    .iter()
                    .map(|(graph, pods)| families(graph, pods[index]))
                    .collect::<Vec<_>>(),
            );
            numbers.entry(key).or_default().push(index);
        }
        let mut members: Vec<(Vec<usize>, bool, bool, bool)> = numbers
            .into_iter()
            .map(|((_, appeared, _, alone, template, _), members)| {
                let has_inner = members.len() > 1 || template;
                (members, appeared, has_inner, alone.is_some())
            })
            .collect();
        members.sort_unstable();
        Self {
            sides,
            reaches,
            has_appeared: members.iter().map(|kind| kind.1).collect(),
            has_inner: members.iter().map(|kind| kind.2).collect(),
            is_alone: members.iter().map(|kind| kind.3).collect(),
            members: members.into_iter().map(|kind| kind.0).collect(),
            is_template: pods
                .iter()
                .map(|(id, standing)| is_template(&id.name, *standing))
                .collect(),
        }
    }

    /// The number of kinds.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// A pod of a kind.
    pub(crate) fn first(&self, kind: usize) -> usize {
        self.members[kind][0]
    }

    /// Whether a pod (a position in the list) stands for several.
    pub(crate) fn is_template(&self, pod: usize) -> bool {
        self.is_template[pod]
    }

    /// For each kind the kinds that it may reach differently on the first two sides; to all others it reaches the same.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (usize, Vec<usize>)> {
        let of = |side: usize, kind: usize| self.reaches[side].kind(self.first(kind));
        let kinds: Vec<[u32; 2]> = (0..self.len())
            .map(|kind| [of(0, kind), of(1, kind)])
            .collect();
        let changes = Changes::new([&self.reaches[0], &self.reaches[1]], &kinds);
        // What is near to what does not follow from the policies.
        let alone: Vec<usize> = (0..self.len())
            .filter(|&kind| self.is_alone[kind])
            .collect();
        (0..self.len()).map(move |from| {
            if self.is_alone[from] {
                return (from, (0..self.len()).collect());
            }
            let by_policies = changes.targets(from);
            let mut targets: Vec<usize> = by_policies.chain(alone.iter().copied()).collect();
            targets.sort_unstable();
            targets.dedup();
            (from, targets)
        })
    }

    /// Whether only the new input has the pods of a kind.
    pub(crate) fn has_appeared(&self, kind: usize) -> bool {
        self.has_appeared[kind]
    }

    /// Whether policies speak of the pods of a kind.
    pub(crate) fn is_subject(&self, kind: usize) -> bool {
        let first = self.first(kind);
        self.sides
            .iter()
            .any(|(_, pods)| pods[first].is_selectable())
    }

    /// What the policies of one kind alone admit on one side, from or to another kind, whatever the policies of the other
    /// say; `None` from a single pod to itself.
    pub(crate) fn admitted(
        &self,
        side: usize,
        (of, direction, peer): (usize, Direction, usize),
        table: &mut PortTable,
    ) -> Option<PortsId> {
        if of == peer && !self.has_inner[of] {
            return None;
        }
        let reach = &self.reaches[side];
        let [of, peer] = [of, peer].map(|kind| reach.kind(self.first(kind)));
        Some(reach.admits(of, direction, peer, table))
    }

    /// What may flow from one kind to another on one side; `None` from a single pod to itself.
    pub(crate) fn between(
        &self,
        side: usize,
        (from, to): (usize, usize),
        table: &mut PortTable,
    ) -> Option<PortsId> {
        if from == to && !self.has_inner[from] {
            return None;
        }
        let (one, other) = (self.first(from), self.first(to));
        if self.is_alone[from] || self.is_alone[to] {
            let (graph, pods) = self.sides[side];
            if graph.is_near(pods[one], pods[other]) {
                return Some(PortTable::ALL);
            }
        }
        let reach = &self.reaches[side];
        Some(reach.between(reach.kind(one), reach.kind(other), table))
    }
}

/// The nodes that pods are on the network of.
fn hosts(sides: &[Compared<'_>]) -> BTreeSet<Arc<str>> {
    let pods = sides.iter().flat_map(|(_, pods)| *pods);
    let on_node = pods.filter(|pod| pod.host_network);
    on_node.filter_map(|pod| pod.node.clone()).collect()
}

/// The pods that have an address that another one has too.
fn sharing(sides: &[Compared<'_>]) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for (_, pods) in sides {
        let mut owners: HashMap<IpAddr, usize> = HashMap::new();
        for (index, pod) in pods.iter().enumerate() {
            for &address in &pod.addresses {
                if let Some(other) = owners
                    .insert(address, index)
                    .filter(|other| *other != index)
                {
                    found.extend([index, other]);
                }
            }
        }
    }
    found
}

/// A workload's template, and what stands for any number of pods.
fn is_template(name: &str, standing: Standing) -> bool {
    standing == Standing::Possible || name.contains('/')
}
