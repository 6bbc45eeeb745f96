//! Who reaches whom on what.

use std::collections::BTreeSet;
use std::net::IpAddr;

use policy_core::{Cluster, Direction, FlowPort, IpSet, Isolation, Pod, PodId, PortSet, RuleGraph};

use crate::inventory::Standing;
use crate::reachable::Reachable;

/// All allowed connections of a cluster.
#[derive(Debug)]
pub struct Matrix {
    /// The endpoints, sorted.
    pub endpoints: Vec<Endpoint>,
    /// The connections between them and with addresses that are no pod's. A pair that is absent is denied.
    pub connections: Vec<Connection>,
}

/// A pod or a workload's template.
#[derive(Debug)]
pub struct Endpoint {
    /// `shop/web` or `shop/Deployment/web`.
    pub id: PodId,
    /// `Pod` or the workload's kind.
    pub kind: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// What policies make of what it receives.
    pub ingress: Isolation,
    /// What policies make of what it opens.
    pub egress: Isolation,
}

/// What may flow from one side to another.
#[derive(Debug)]
pub struct Connection {
    /// Who opens it.
    pub from: Side,
    /// Whom to.
    pub to: Side,
    /// On what; never empty.
    pub allowed: PortSet,
}

/// A side of a [`Connection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// An endpoint.
    Endpoint(PodId),
    /// Addresses that are no pod's.
    External(IpSet),
}

/// Takes every pair. `only` narrows to one port. Pods that have finished are nowhere and left out.
pub fn matrix(cluster: &Cluster, graph: &RuleGraph, only: Option<FlowPort>) -> Matrix {
    let only = only.map(crate::port::set);
    let pods = cluster.pods().values().filter(|pod| !pod.finished);
    let pods: Vec<_> = pods.map(|pod| (pod.id.clone(), Standing::Known)).collect();
    let reachable = Reachable::new(cluster, graph, &pods, only.as_ref());
    let contested: BTreeSet<IpAddr> = graph.contested().map(|(address, _)| address).collect();
    let mut connections = Vec::new();
    for (from, pod) in reachable.pods.iter().enumerate() {
        let row = &reachable.rows[reachable.kind_of[from]];
        let cells = row.iter().flat_map(|&(kind, ports)| {
            let members = reachable.members[kind].iter();
            members.map(move |&to| (to, ports))
        });
        let mut cells: Vec<_> = cells.filter(|&(to, _)| to != from).collect();
        cells.sort_unstable();
        connections.extend(cells.into_iter().map(|(to, ports)| Connection {
            from: Side::Endpoint(pod.id.clone()),
            to: Side::Endpoint(reachable.pods[to].id.clone()),
            allowed: reachable.table.ports(ports).clone(),
        }));
    }
    for (number, pod) in reachable.pods.iter().enumerate() {
        let outside = &reachable.outside[reachable.kind_of[number]];
        for (direction, pieces) in Direction::ALL.into_iter().zip(outside) {
            for (addresses, allowed) in pieces {
                let external = Side::External(addresses.clone());
                let endpoint = Side::Endpoint(pod.id.clone());
                let (from, to) = match direction {
                    Direction::Ingress => (external, endpoint),
                    Direction::Egress => (endpoint, external),
                };
                connections.push(Connection {
                    from,
                    to,
                    allowed: allowed.clone(),
                });
            }
        }
    }
    let endpoints = reachable
        .pods
        .iter()
        .map(|pod| Endpoint::new(pod, graph, &contested))
        .collect();
    Matrix {
        endpoints,
        connections,
    }
}

impl Endpoint {
    fn new(pod: &Pod, graph: &RuleGraph, contested: &BTreeSet<IpAddr>) -> Self {
        // Nobody can tell which policies hold for an address that several pods claim, so it is closed.
        let is_contested = !pod.addresses.is_empty()
            && pod
                .addresses
                .iter()
                .all(|address| contested.contains(address));
        let isolation = |direction| {
            if is_contested {
                Isolation::Enforced
            } else {
                graph.isolation(pod, direction)
            }
        };
        let kind = pod.id.name.split_once('/').map_or("Pod", |(kind, _)| kind);
        Self {
            id: pod.id.clone(),
            kind: kind.to_owned(),
            addresses: pod.addresses.clone(),
            ingress: isolation(Direction::Ingress),
            egress: isolation(Direction::Egress),
        }
    }
}

/// All addresses of the families that a pod has an address of its own in.
pub(crate) fn families(graph: &RuleGraph, pod: &Pod) -> IpSet {
    // Policies do not speak of a pod on its node's network, and its addresses are the node's.
    let own = if pod.is_selectable() {
        graph.addresses(pod)
    } else {
        pod.addresses.clone()
    };
    let mut all = IpSet::full();
    if !own.iter().any(IpAddr::is_ipv4) {
        all.v4 = policy_core::range_set::RangeSet::empty();
    }
    if !own.iter().any(IpAddr::is_ipv6) {
        all.v6 = policy_core::range_set::RangeSet::empty();
    }
    all
}
