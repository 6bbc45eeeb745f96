//! Who of some ends reaches whom of others, on which ports.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::reach::{PortTable, PortsId};
use policy_core::{Cluster, Direction, IpSet, Pod, PodId, PortSet, RuleGraph, Selector};

use super::selection::Selection;
use crate::diff::Side;
use crate::diff::group::{Relation, rectangles};
use crate::inventory::{Inventory, Standing, is_unknown, meant, nearest};
use crate::kinds::Kinds;
use crate::lint::misspelt::only_miss;
use crate::matrix::families;

/// The answer.
#[derive(Debug)]
pub struct Answer {
    /// The pods, sorted; what a [`Side`] counts.
    pub pods: Vec<(PodId, Standing)>,
    /// What connects, in the fewest lines; nothing where no pair does.
    pub connections: Vec<Connections>,
}

/// Pairs that are connected alike: each of the one side with each of the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connections {
    /// Who opens them.
    pub from: Side,
    /// Whom to.
    pub to: Side,
    /// On what; never empty.
    pub ports: PortSet,
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// An end that is not there: no connection of nobody's says anything.
    #[error("{end} matches no pod of the input: a question about nobody has no answer{}", meant(.near.as_deref()))]
    Nobody {
        /// The argument.
        end: &'static str,
        /// What may have been meant by a name or a label.
        near: Option<String>,
    },
    /// No policy decides between addresses that are no pod's.
    #[error("neither --from nor --to is a pod: policies do not decide between other addresses")]
    NoPods,
}

/// A question.
#[derive(Debug)]
pub struct Question<'a> {
    /// Who opens.
    pub from: &'a Selection,
    /// Whom to.
    pub to: &'a Selection,
    /// On what.
    pub ports: PortSet,
    /// Whether the pods that the input does not hold are left out.
    pub only_known: bool,
    /// The cluster with written addresses alone: who has an address that the question names.
    pub written: &'a Cluster,
}

/// Answers a question. `pods` are those of the cluster, the possible ones among them.
///
/// # Errors
/// An end that matches nobody, or two ends that are no pods.
pub fn query(
    inventory: &Inventory<'_>,
    pods: Vec<(PodId, Standing)>,
    question: &Question<'_>,
) -> Result<Answer, QueryError> {
    let all = inventory.cluster.pods();
    let own: Vec<&Pod> = pods.iter().map(|(id, _)| all[id].as_ref()).collect();
    let ends = [("--from", question.from), ("--to", question.to)];
    let mut sides = Vec::new();
    for (name, selection) in ends {
        let side = side(selection, inventory, &pods, question);
        // What nobody of the input has may be misspelt, and then the answer would hold for no pod that is meant.
        let is_known = side
            .pods
            .iter()
            .any(|&pod| pods[pod].1 != Standing::Possible);
        let is_other = *selection == Selection::Unknown && !question.only_known;
        if !is_known && !is_other && side.addresses.is_empty() {
            let near = near(selection, &inventory.cluster, &pods);
            return Err(QueryError::Nobody { end: name, near });
        }
        sides.push(side);
    }
    let [from, to] = [&sides[0], &sides[1]];
    if from.pods.is_empty() && to.pods.is_empty() {
        return Err(QueryError::NoPods);
    }
    let graph = RuleGraph::compile(&inventory.cluster);
    let mut table = PortTable::new();
    let kinds = Kinds::new(vec![(&graph, &own)], &pods, &mut table);
    let mut connections = between(&kinds, from, to, &question.ports, &mut table);
    connections.extend(outside(&kinds, (&graph, &own), from, to, &question.ports));
    connections.sort();
    Ok(Answer { pods, connections })
}

/// What may have been meant by an end that is nobody: a name, or a label of a pod of the input.
fn near(selection: &Selection, cluster: &Cluster, pods: &[(PodId, Standing)]) -> Option<String> {
    match selection {
        Selection::Pod(id) => nearest(cluster, id).map(|id| id.to_string()),
        Selection::Labels {
            namespaces,
            pods: selector,
        } => near_label(namespaces, selector, cluster, pods),
        _ => None,
    }
}

fn near_label(
    namespaces: &Selector,
    selector: &Selector,
    cluster: &Cluster,
    pods: &[(PodId, Standing)],
) -> Option<String> {
    let known = pods
        .iter()
        .filter(|(_, standing)| *standing != Standing::Possible);
    let known: Vec<&Pod> = known.map(|(id, _)| cluster.pods()[id].as_ref()).collect();
    let is_known = |(key, value): (&str, &str)| {
        let mut known = known.iter();
        known.any(|pod| pod.labels.value(key) == Some(value))
    };
    let mut own = known.iter().filter(|pod| {
        let namespace = cluster.namespaces().get(&pod.id.namespace);
        namespace.is_some_and(|namespace| namespaces.matches(&namespace.labels))
    });
    let miss = own.find_map(|pod| only_miss(selector, &pod.labels, &is_known))?;
    let (key, value) = miss.held;
    Some(format!("{key}={value}"))
}

/// Whom an end is about.
fn side(
    selection: &Selection,
    inventory: &Inventory<'_>,
    pods: &[(PodId, Standing)],
    question: &Question<'_>,
) -> Side {
    let cluster = &inventory.cluster;
    let is_meant = |(id, _): &(PodId, Standing)| match selection {
        Selection::Any | Selection::Pods => true,
        Selection::External => false,
        Selection::Unknown => is_unknown(&id.namespace),
        Selection::Pod(wanted) => id == wanted,
        Selection::Labels { namespaces, pods } => {
            let namespace = cluster.namespaces().get(&id.namespace);
            namespace.is_some_and(|namespace| namespaces.matches(&namespace.labels))
                && pods.matches(&cluster.pods()[id].labels)
        }
        Selection::Addresses(addresses) => {
            let written = question.written.pods().get(id);
            let mut own = written.into_iter().flat_map(|pod| &pod.addresses);
            own.any(|&address| addresses.contains(address))
        }
    };
    let meant = |pod: &(PodId, Standing)| {
        let counts = !question.only_known || pod.1 != Standing::Possible;
        counts && is_meant(pod)
    };
    Side {
        pods: (0..pods.len()).filter(|&pod| meant(&pods[pod])).collect(),
        addresses: match selection {
            Selection::Any | Selection::External => IpSet::full(),
            Selection::Addresses(addresses) => addresses.clone(),
            _ => IpSet::empty(),
        },
    }
}

/// For each kind, those of its pods that a side holds.
fn members(kinds: &Kinds<'_>, side: &Side) -> BTreeMap<usize, Vec<usize>> {
    let wanted: BTreeSet<usize> = side.pods.iter().copied().collect();
    let of = |kind: usize| {
        let members = kinds.members[kind].iter().copied();
        let meant: Vec<usize> = members.filter(|pod| wanted.contains(pod)).collect();
        (!meant.is_empty()).then_some((kind, meant))
    };
    (0..kinds.len()).filter_map(of).collect()
}

fn between(
    kinds: &Kinds<'_>,
    from: &Side,
    to: &Side,
    asked: &PortSet,
    table: &mut PortTable,
) -> Vec<Connections> {
    let (sources, targets) = (members(kinds, from), members(kinds, to));
    let asked = table.number(asked);
    let mut by_ports: BTreeMap<PortsId, Relation> = BTreeMap::new();
    for (&source, from) in &sources {
        for (&target, to) in &targets {
            // A pod always reaches itself, which no policy decides.
            let is_itself = source == target && from.len() == 1 && from == to;
            if is_itself && !kinds.is_template(from[0]) {
                continue;
            }
            let Some(ports) = kinds.between(0, (source, target), table) else {
                continue;
            };
            let ports = table.intersection(ports, asked);
            if ports != PortTable::NONE {
                let relation = by_ports.entry(ports).or_default();
                relation.entry(source).or_default().push(target);
            }
        }
    }
    let side = |kinds: Vec<usize>, members: &BTreeMap<usize, Vec<usize>>| {
        let pods = kinds.iter().filter_map(|kind| members.get(kind));
        let mut pods: Vec<usize> = pods.flatten().copied().collect();
        pods.sort_unstable();
        Side {
            pods,
            addresses: IpSet::empty(),
        }
    };
    let mut found = Vec::new();
    for (ports, relation) in by_ports {
        for (from, to) in rectangles(&relation, &kinds.has_inner) {
            let (from, to) = (side(from, &sources), side(to, &targets));
            if !from.pods.is_empty() && !to.pods.is_empty() {
                let ports = table.ports(ports).clone();
                found.push(Connections { from, to, ports });
            }
        }
    }
    found
}

/// What passes between pods of the one side and addresses of the other.
fn outside(
    kinds: &Kinds<'_>,
    (graph, own): (&RuleGraph, &[&Pod]),
    from: &Side,
    to: &Side,
    asked: &PortSet,
) -> Vec<Connections> {
    let mut found: BTreeMap<(Direction, PortSet, IpSet), Vec<usize>> = BTreeMap::new();
    for (direction, inner, outer) in [
        (Direction::Ingress, to, &from.addresses),
        (Direction::Egress, from, &to.addresses),
    ] {
        if outer.is_empty() {
            continue;
        }
        for (kind, pods) in members(kinds, inner) {
            let pod = own[kinds.first(kind)];
            let within = families(graph, pod).intersection(outer);
            let mut pieces: BTreeMap<PortSet, IpSet> = BTreeMap::new();
            for (addresses, ports) in graph.outside(pod, direction) {
                let (addresses, ports) =
                    (addresses.intersection(&within), ports.intersection(asked));
                if !addresses.is_empty() && !ports.is_empty() {
                    let known = pieces.entry(ports).or_default();
                    *known = known.union(&addresses);
                }
            }
            for (ports, addresses) in pieces {
                let members = found.entry((direction, ports, addresses)).or_default();
                members.extend(&pods);
            }
        }
    }
    let told = found
        .into_iter()
        .map(|((direction, ports, addresses), mut pods)| {
            pods.sort_unstable();
            let inner = Side {
                pods,
                addresses: IpSet::empty(),
            };
            let outer = Side {
                pods: Vec::new(),
                addresses,
            };
            match direction {
                Direction::Ingress => Connections {
                    from: outer,
                    to: inner,
                    ports,
                },
                Direction::Egress => Connections {
                    from: inner,
                    to: outer,
                    ports,
                },
            }
        });
    told.collect()
}
