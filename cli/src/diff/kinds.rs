//! Pods that neither of two graphs can tell apart, and what changed between every two kinds of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use policy_core::reach::{PortTable, PortsId, Reach};
use policy_core::{Pod, RuleGraph};

use crate::inventory::{Pair, Standing};
use crate::matrix::families;

/// A graph, and the pods to compare as its cluster has them.
pub(super) type Compared<'a> = (&'a RuleGraph, &'a [&'a Pod]);

/// From one kind to another, what changed.
pub(super) type Cell = (usize, usize, PortsId);

pub(super) struct Kinds<'a> {
    sides: [Compared<'a>; 2],
    reaches: [Reach; 2],
    /// For each kind, its pods: positions in the list of pods.
    pub(super) members: Vec<Vec<usize>>,
    /// For each kind, whether only the new input has its pods.
    has_appeared: Vec<bool>,
    /// For each kind, whether a pod of it may be compared with itself: a template stands for several pods.
    pub(super) has_inner: Vec<bool>,
    /// For each kind, whether it is one pod that may be near to others.
    is_alone: Vec<bool>,
}

impl<'a> Kinds<'a> {
    pub(super) fn new(sides: [Compared<'a>; 2], pair: &Pair<'_>, table: &mut PortTable) -> Self {
        let reaches = sides.map(|(graph, pods)| Reach::new(graph, pods, table));
        let hosts = hosts(sides);
        let sharing = sharing(sides);
        let mut numbers: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, (id, standing)) in pair.pods.iter().enumerate() {
            let pods = sides.map(|(_, pods)| pods[index]);
            // What is on a node's network is near to the pods of this node alone, and what shares an address to who
            // else has it.
            let is_alone = pods.iter().any(|pod| pod.host_network) || sharing.contains(&index);
            let near = pods.map(|pod| pod.node.clone().filter(|node| hosts.contains(node)));
            let key = (
                reaches.each_ref().map(|reach| reach.kind(index)),
                *standing == Standing::Appeared,
                near,
                is_alone.then_some(index),
                is_template(&id.name, *standing),
                // An address can be another pod's, whose kind it then has towards pods.
                sides.map(|(graph, pods)| families(graph, pods[index])),
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
        }
    }

    /// A pod of a kind.
    pub(super) fn first(&self, kind: usize) -> usize {
        self.members[kind][0]
    }

    /// Whether only the new input has the pods of a kind. What did not exist cannot have been lost.
    pub(super) fn has_appeared(&self, kind: usize) -> bool {
        self.has_appeared[kind]
    }

    /// Whether policies speak of the pods of a kind.
    pub(super) fn is_subject(&self, kind: usize) -> bool {
        let first = self.first(kind);
        self.sides
            .iter()
            .any(|(_, pods)| pods[first].is_selectable())
    }

    /// What is gained and what is lost, from each kind to each.
    pub(super) fn changed_pairs(&self, table: &mut PortTable) -> (Vec<Cell>, Vec<Cell>) {
        let (mut gained, mut lost) = (Vec::new(), Vec::new());
        let numbers = self
            .reaches
            .each_ref()
            .map(|reach| (0..self.members.len()).map(|kind| reach.kind(self.first(kind))));
        let [old_kinds, new_kinds] = numbers.map(Iterator::collect::<Vec<_>>);
        for from in 0..self.members.len() {
            for to in 0..self.members.len() {
                if from == to && !self.has_inner[from] {
                    continue;
                }
                let [old, new] = &self.reaches;
                let before = old.between(old_kinds[from], old_kinds[to], table);
                let after = new.between(new_kinds[from], new_kinds[to], table);
                if before == after {
                    continue;
                }
                let near = self.are_near(from, to);
                let [before, after] = [(before, near[0]), (after, near[1])]
                    .map(|(ports, near)| if near { PortTable::ALL } else { ports });
                let more = table.difference(after, before);
                if more != PortTable::NONE {
                    gained.push((from, to, more));
                }
                let less = table.difference(before, after);
                if less != PortTable::NONE && !self.has_appeared[from] && !self.has_appeared[to] {
                    lost.push((from, to, less));
                }
            }
        }
        (gained, lost)
    }

    fn are_near(&self, from: usize, to: usize) -> [bool; 2] {
        if !self.is_alone[from] && !self.is_alone[to] {
            return [false; 2];
        }
        let (from, to) = (self.first(from), self.first(to));
        self.sides
            .map(|(graph, pods)| graph.is_near(pods[from], pods[to]))
    }
}

/// The nodes that pods are on the network of.
fn hosts(sides: [Compared<'_>; 2]) -> BTreeSet<Arc<str>> {
    let pods = sides.into_iter().flat_map(|(_, pods)| pods);
    let on_node = pods.filter(|pod| pod.host_network);
    on_node.filter_map(|pod| pod.node.clone()).collect()
}

/// The pods that have an address that another one has too.
fn sharing(sides: [Compared<'_>; 2]) -> BTreeSet<usize> {
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
