//! What each pod may receive and open, the pods that are alike together.

use std::collections::BTreeMap;

use policy_core::reach::{PortTable, PortsId};
use policy_core::{Direction, IpSet, Isolation, Pod, PodId, PortSet, RuleGraph};

use crate::diff::Side;
use crate::inventory::{Inventory, Standing};
use crate::kinds::Kinds;
use crate::matrix::families;

/// What may flow in a whole cluster.
#[derive(Debug)]
pub struct View {
    /// The pods, sorted; what [`Side`]s and [`Alike`]s count.
    pub pods: Vec<(PodId, Standing)>,
    /// The pods that may exchange the same with the same.
    pub groups: Vec<Alike>,
}

/// Pods that may exchange the same with the same.
#[derive(Debug)]
pub struct Alike {
    /// Positions in [`View::pods`], sorted.
    pub pods: Vec<usize>,
    /// What policies make of what they receive and of what they open.
    pub isolation: [Isolation; 2],
    /// From whom they receive what, and to whom they open what, as both ends allow it; sorted by the ports.
    pub peers: [Vec<(PortSet, Side)>; 2],
}

impl View {
    /// Looks at all of the cluster. `pods` are those of the cluster that have not finished.
    #[must_use]
    pub fn new(inventory: &Inventory<'_>, pods: Vec<(PodId, Standing)>) -> Self {
        let graph = RuleGraph::compile(&inventory.cluster);
        let all = inventory.cluster.pods();
        let own: Vec<&Pod> = pods.iter().map(|(id, _)| all[id].as_ref()).collect();
        let mut table = PortTable::new();
        let kinds = Kinds::new(vec![(&graph, &own)], &pods, &mut table);
        let mut received: Vec<BTreeMap<PortsId, Vec<usize>>> = vec![BTreeMap::new(); kinds.len()];
        let mut opened = received.clone();
        for (from, opened) in opened.iter_mut().enumerate() {
            for (to, received) in received.iter_mut().enumerate() {
                let Some(ports) = kinds.between(0, (from, to), &mut table) else {
                    continue;
                };
                if ports != PortTable::NONE {
                    received.entry(ports).or_default().push(from);
                    opened.entry(ports).or_default().push(to);
                }
            }
        }
        let groups = (0..kinds.len()).map(|kind| {
            let pod = own[kinds.first(kind)];
            let peers = [
                (Direction::Ingress, &received[kind]),
                (Direction::Egress, &opened[kind]),
            ];
            Alike {
                pods: kinds.members[kind].clone(),
                isolation: Direction::ALL.map(|direction| graph.isolation(pod, direction)),
                peers: peers.map(|(direction, pods)| {
                    let mut sides = sides(pods, &kinds, &table);
                    let families = families(&graph, pod);
                    for (addresses, ports) in graph.outside(pod, direction) {
                        let addresses = addresses.intersection(&families);
                        if !addresses.is_empty() && !ports.is_empty() {
                            sides.entry(ports).or_default().addresses = addresses;
                        }
                    }
                    sides.into_iter().collect()
                }),
            }
        });
        let groups = groups.collect();
        Self { pods, groups }
    }
}

fn sides(
    pods: &BTreeMap<PortsId, Vec<usize>>,
    kinds: &Kinds<'_>,
    table: &PortTable,
) -> BTreeMap<PortSet, Side> {
    let sides = pods.iter().map(|(&ports, members)| {
        let pods = members.iter().flat_map(|&kind| &kinds.members[kind]);
        let mut pods: Vec<usize> = pods.copied().collect();
        pods.sort_unstable();
        let addresses = IpSet::empty();
        (table.ports(ports).clone(), Side { pods, addresses })
    });
    sides.collect()
}
