//! The matrix of groups of pods: for large clusters, where nobody reads a cell for every two pods.

use std::collections::BTreeMap;

use policy_core::reach::PortsId;
use policy_core::{Direction, IpSet, Isolation, PortSet, RuleGraph};

use crate::owners::Owners;
use crate::reachable::Reachable;

/// Which pods are shown as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Grouping {
    /// Each pod and each workload's template alone.
    Pod,
    /// The pods of one workload.
    Workload,
    /// The pods of one namespace.
    Namespace,
    /// The pods that may exchange the same with the same, whatever their names.
    Alike,
}

/// Pods that are shown as one.
#[derive(Debug)]
pub struct Group {
    /// `shop/Deployment/web`, `shop`, or the first pod and how many more there are.
    pub name: String,
    /// Positions in [`Reachable::pods`], sorted.
    pub pods: Vec<usize>,
    /// What policies make of what the pods receive and open; `None` where they make different things of them.
    pub isolation: [Option<Isolation>; 2],
}

/// What some pods of one group may open to some pods of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// A position in [`Grouped::groups`].
    pub from: usize,
    /// The same.
    pub to: usize,
    /// What passes between some two of their pods.
    pub allowed: PortSet,
    /// Between how many two pods anything passes.
    pub open: usize,
    /// How many pairs of different pods there are.
    pub pairs: usize,
    /// Whether the same passes between every two of their pods.
    pub is_uniform: bool,
}

/// What some pods of a group may exchange with addresses that are no pod's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// A position in [`Grouped::groups`].
    pub group: usize,
    /// `Ingress` for what the addresses may open to the group.
    pub direction: Direction,
    /// The addresses.
    pub addresses: IpSet,
    /// What passes.
    pub allowed: PortSet,
}

/// The matrix of groups.
#[derive(Debug)]
pub struct Grouped {
    /// The groups, sorted by name.
    pub groups: Vec<Group>,
    /// What passes between them, sorted. Groups without a cell exchange nothing.
    pub cells: Vec<Cell>,
    /// What passes from and to other addresses.
    pub outside: Vec<Outside>,
}

/// Puts pods together and adds up what flows between them.
#[must_use]
pub fn grouped(
    reachable: &mut Reachable<'_>,
    graph: &RuleGraph,
    owners: &Owners,
    grouping: Grouping,
) -> Grouped {
    let groups = groups(reachable, graph, owners, grouping);
    let mut of_kind: Vec<BTreeMap<usize, usize>> = vec![BTreeMap::new(); reachable.members.len()];
    for (group, members) in groups.iter().enumerate() {
        for &pod in &members.pods {
            *of_kind[reachable.kind_of[pod]].entry(group).or_default() += 1;
        }
    }
    let mut cells = Vec::new();
    let mut outside = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        cells.extend(row(reachable, &groups, &of_kind, number));
        outside.extend(outside_of(reachable, group, number));
    }
    Grouped {
        groups,
        cells,
        outside,
    }
}

fn groups(
    reachable: &Reachable<'_>,
    graph: &RuleGraph,
    owners: &Owners,
    grouping: Grouping,
) -> Vec<Group> {
    let alike = if grouping == Grouping::Alike {
        reachable.alike()
    } else {
        Vec::new()
    };
    let mut members: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (number, pod) in reachable.pods.iter().enumerate() {
        let namespace = &pod.id.namespace;
        let key = match grouping {
            Grouping::Pod => pod.id.to_string(),
            Grouping::Workload => format!("{namespace}/{}", owners.workload(&pod.id)),
            Grouping::Namespace => namespace.to_string(),
            Grouping::Alike => format!("{:010}", alike[reachable.kind_of[number]]),
        };
        members.entry(key).or_default().push(number);
    }
    let groups = members.into_iter().map(|(key, pods)| Group {
        isolation: Direction::ALL.map(|direction| isolation(reachable, graph, &pods, direction)),
        name: if grouping == Grouping::Alike {
            first_and_more(reachable, &pods)
        } else {
            key
        },
        pods,
    });
    let mut groups: Vec<Group> = groups.collect();
    groups.sort_by(|one, other| one.name.cmp(&other.name));
    groups
}

fn first_and_more(reachable: &Reachable<'_>, pods: &[usize]) -> String {
    let first = &reachable.pods[pods[0]].id;
    match pods.len() - 1 {
        0 => first.to_string(),
        more => format!("{first} (+{more})"),
    }
}

fn isolation(
    reachable: &Reachable<'_>,
    graph: &RuleGraph,
    pods: &[usize],
    direction: Direction,
) -> Option<Isolation> {
    let mut all = pods
        .iter()
        .map(|&pod| graph.isolation(reachable.pods[pod], direction));
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}

/// What is added up for a cell.
#[derive(Clone, Copy)]
struct Sum {
    ports: PortsId,
    open: usize,
    is_uniform: bool,
}

/// What one group may open.
fn row(
    reachable: &mut Reachable<'_>,
    groups: &[Group],
    of_kind: &[BTreeMap<usize, usize>],
    number: usize,
) -> Vec<Cell> {
    let mut sums: Vec<Option<Sum>> = vec![None; groups.len()];
    let mut kinds: BTreeMap<usize, usize> = BTreeMap::new();
    for &pod in &groups[number].pods {
        *kinds.entry(reachable.kind_of[pod]).or_default() += 1;
    }
    let Reachable { rows, table, .. } = reachable;
    for (&from, &count) in &kinds {
        for &(to, ports) in &rows[from] {
            for (&group, &others) in &of_kind[to] {
                let same = if from == to && group == number {
                    count
                } else {
                    0
                };
                let open = count * others - same;
                if open == 0 {
                    continue;
                }
                let sum = sums[group].get_or_insert(Sum {
                    ports,
                    open: 0,
                    is_uniform: true,
                });
                sum.open += open;
                if sum.ports != ports {
                    sum.is_uniform = false;
                    sum.ports = table.union(sum.ports, ports);
                }
            }
        }
    }
    let sums = sums.into_iter().enumerate();
    let cells = sums.filter_map(|(to, sum)| {
        let sum = sum?;
        let itself = if to == number {
            groups[to].pods.len()
        } else {
            0
        };
        let pairs = groups[number].pods.len() * groups[to].pods.len() - itself;
        Some(Cell {
            from: number,
            to,
            allowed: reachable.table.ports(sum.ports).clone(),
            open: sum.open,
            pairs,
            is_uniform: sum.is_uniform && sum.open == pairs,
        })
    });
    cells.collect()
}

fn outside_of(reachable: &Reachable<'_>, group: &Group, number: usize) -> Vec<Outside> {
    let mut kinds: Vec<usize> = group
        .pods
        .iter()
        .map(|&pod| reachable.kind_of[pod])
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut found = Vec::new();
    for (place, direction) in Direction::ALL.into_iter().enumerate() {
        let mut by_ports: BTreeMap<&PortSet, IpSet> = BTreeMap::new();
        for (addresses, ports) in kinds
            .iter()
            .flat_map(|&kind| &reachable.outside[kind][place])
        {
            let known = by_ports.entry(ports).or_insert_with(IpSet::empty);
            *known = known.union(addresses);
        }
        found.extend(by_ports.into_iter().map(|(ports, addresses)| Outside {
            group: number,
            direction,
            addresses,
            allowed: ports.clone(),
        }));
    }
    found
}
