//! What pictures of a cluster show: workloads, what they may exchange, and which rules say so.

use std::collections::BTreeMap;

use policy_core::graph::{Permission, Subject};
use policy_core::{Direction, IpSet, Isolation, Pod, PodId, PolicyId, PortSet, RuleGraph};

use crate::inventory::{Inventory, Standing};
use crate::owners::Owners;
use crate::reachable::Reachable;

/// What a picture shows.
pub struct Picture<'a> {
    /// What may flow between the pods.
    pub reachable: Reachable<'a>,
    /// What the pods are, in the same order.
    pub standings: Vec<Standing>,
    /// The pods of one workload that are of one kind, sorted by namespace and name.
    pub units: Vec<Unit>,
    /// What rules give to pods of one kind, by what isolates them.
    pub subjects: Vec<Grants<'a>>,
    /// For each kind, its subject; `None` where no policy selects its pods.
    pub subject_of: Vec<Option<usize>>,
}

/// Pods that a picture shows as one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// Their namespace.
    pub namespace: String,
    /// `Deployment/web`, a pod's name, or a pod's name and how many more are like it.
    pub name: String,
    /// Positions in [`Reachable::pods`], sorted.
    pub pods: Vec<usize>,
    /// Their kind, a position in [`Reachable::members`].
    pub kind: usize,
}

/// What the rules of the policies that isolate some pods admit, in each direction.
#[derive(Debug)]
pub struct Grants<'a> {
    /// For each of [`Direction::ALL`], whether policies limit it, audited ones left out.
    pub isolated: [bool; 2],
    /// By [`Direction::ALL`].
    pub directions: [Vec<Grant<'a>>; 2],
}

/// Rules that give the same ports to the same peers.
#[derive(Debug)]
pub struct Grant<'a> {
    /// To whom, as kinds; `None` for everyone.
    pub peers: Option<Vec<usize>>,
    /// The addresses that `ipBlock`s name.
    pub blocks: IpSet,
    /// The ports, names among them already resolved.
    pub ports: PortSet,
    /// The rules: the policy and the position in its list.
    pub rules: Vec<(&'a PolicyId, u32)>,
}

impl<'a> Picture<'a> {
    /// Looks at a cluster. `graph` is compiled from it and not minimized, so that each rule is seen by itself.
    #[must_use]
    pub fn new(
        inventory: &'a Inventory<'_>,
        graph: &'a RuleGraph,
        pods: &[(PodId, Standing)],
        owners: &Owners,
        only: Option<&PortSet>,
    ) -> Self {
        let reachable = Reachable::new(&inventory.cluster, graph, pods, only);
        let units = units(&reachable, owners);
        let positions: BTreeMap<&PodId, usize> = (0..)
            .zip(&reachable.pods)
            .map(|(number, pod)| (&pod.id, number))
            .collect();
        let kinds = KindFinder {
            reachable: &reachable,
            positions,
        };
        let mut subject_of = vec![None; reachable.members.len()];
        let mut subjects = Vec::new();
        for subject in graph.subjects() {
            let own = kinds.of(subject.pods().into_iter());
            for &kind in &own {
                subject_of[kind] = Some(subjects.len());
            }
            subjects.push(Grants {
                isolated: Direction::ALL
                    .map(|direction| subject.isolation(direction) == Isolation::Enforced),
                directions: Direction::ALL
                    .map(|direction| grants(&subject, direction, &kinds, only)),
            });
        }
        Self {
            standings: pods.iter().map(|(_, standing)| *standing).collect(),
            units,
            subjects,
            subject_of,
            reachable,
        }
    }

    /// The pod that stands for a kind.
    pub fn pod_of(&self, kind: usize) -> &'a Pod {
        self.reachable.pods[self.reachable.members[kind][0]]
    }

    /// What rules give to the pods of a kind in one direction; nothing where no policy selects them.
    pub fn grants(&self, kind: usize, direction: Direction) -> &[Grant<'a>] {
        let subject = self.subject_of[kind].map(|subject| &self.subjects[subject]);
        subject.map_or(&[], |grants| &grants.directions[direction as usize])
    }

    /// Whether the input does not have a unit's pods, but policies speak of them or anybody may start them.
    pub fn is_possible(&self, unit: &Unit) -> bool {
        self.standings[unit.pods[0]] == Standing::Possible
    }
}

fn units(reachable: &Reachable<'_>, owners: &Owners) -> Vec<Unit> {
    let mut split: BTreeMap<(&str, &str), BTreeMap<usize, Vec<usize>>> = BTreeMap::new();
    for (number, pod) in reachable.pods.iter().enumerate() {
        let workload = (&*pod.id.namespace, owners.workload(&pod.id));
        let kinds = split.entry(workload).or_default();
        let pods = kinds.entry(reachable.kind_of[number]).or_default();
        pods.push(number);
    }
    let mut units = Vec::new();
    for ((namespace, workload), kinds) in split {
        let is_whole = kinds.len() == 1;
        units.extend(kinds.into_iter().map(|(kind, pods)| Unit {
            namespace: namespace.to_owned(),
            name: if is_whole {
                workload.to_owned()
            } else {
                first_and_more(reachable.pods[pods[0]], pods.len() - 1)
            },
            pods,
            kind,
        }));
    }
    units.sort();
    units
}

fn first_and_more(first: &Pod, more: usize) -> String {
    match more {
        0 => first.id.name.to_string(),
        more => format!("{} (+{more})", first.id.name),
    }
}

/// The kinds of pods that a graph speaks of.
struct KindFinder<'r, 'a> {
    reachable: &'r Reachable<'a>,
    positions: BTreeMap<&'r PodId, usize>,
}

impl KindFinder<'_, '_> {
    fn of<'p>(&self, pods: impl Iterator<Item = &'p Pod>) -> Vec<usize> {
        let found = pods.filter_map(|pod| self.positions.get(&pod.id));
        let mut kinds: Vec<usize> = found.map(|&pod| self.reachable.kind_of[pod]).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// The kinds with an address in a block.
    fn within(&self, blocks: &IpSet) -> Vec<usize> {
        if blocks.is_empty() {
            return Vec::new();
        }
        let has_one = |pod: &&&Pod| pod.addresses.iter().any(|own| blocks.contains(*own));
        self.of(self.reachable.pods.iter().filter(has_one).copied())
    }
}

fn grants<'a>(
    subject: &Subject<'a>,
    direction: Direction,
    kinds: &KindFinder<'_, '_>,
    only: Option<&PortSet>,
) -> Vec<Grant<'a>> {
    let permissions = subject.permissions(direction).into_iter();
    let grants = permissions.map(|permission: Permission<'a>| Grant {
        peers: (!permission.is_for_everyone()).then(|| {
            let mut peers = kinds.of(permission.pods().map(|(pod, _)| pod));
            peers.extend(kinds.within(permission.blocks()));
            peers.sort_unstable();
            peers.dedup();
            peers
        }),
        blocks: permission.blocks().clone(),
        ports: only.map_or_else(
            || permission.ports().clone(),
            |only| permission.ports().intersection(only),
        ),
        rules: permission.rules().into_iter().collect(),
    });
    grants.filter(|grant| !grant.ports.is_empty()).collect()
}
