//! Who reaches whom on what.

use std::collections::BTreeSet;
use std::net::IpAddr;

use policy_core::{Cluster, Direction, FlowPort, IpSet, Isolation, Pod, PodId, PortSet, RuleGraph};

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

/// Evaluates every pair. `only` narrows to one port. Pods that have finished are nowhere and left out.
pub fn matrix(cluster: &Cluster, graph: &RuleGraph, only: Option<FlowPort>) -> Matrix {
    let only = only.map(crate::port::set);
    let narrow = |allowed: PortSet| match &only {
        Some(only) => allowed.intersection(only),
        None => allowed,
    };
    let pods: Vec<&Pod> = cluster
        .pods()
        .values()
        .map(AsRef::as_ref)
        .filter(|pod: &&Pod| !pod.finished)
        .collect();
    let contested: BTreeSet<IpAddr> = graph.contested().map(|(address, _)| address).collect();
    let mut connections = Vec::new();
    for from in &pods {
        for to in pods.iter().filter(|to| to.id != from.id) {
            let allowed = narrow(between(graph, from, to));
            if !allowed.is_empty() {
                connections.push(Connection {
                    from: Side::Endpoint(from.id.clone()),
                    to: Side::Endpoint(to.id.clone()),
                    allowed,
                });
            }
        }
    }
    for pod in &pods {
        for direction in Direction::ALL {
            for (addresses, allowed) in graph.outside(pod, direction) {
                let external = Side::External(addresses.intersection(&families(graph, pod)));
                let endpoint = Side::Endpoint(pod.id.clone());
                let (from, to) = match direction {
                    Direction::Ingress => (external, endpoint),
                    Direction::Egress => (endpoint, external),
                };
                connections.push(Connection {
                    from,
                    to,
                    allowed: narrow(allowed),
                });
            }
        }
    }
    connections.retain(|connection| !connection.allowed.is_empty() && !connection.is_nowhere());
    let endpoints = pods
        .into_iter()
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

impl Connection {
    fn is_nowhere(&self) -> bool {
        [&self.from, &self.to].into_iter().any(|side| match side {
            Side::External(addresses) => addresses.is_empty(),
            Side::Endpoint(_) => false,
        })
    }
}

/// What may flow between two pods in any address family that both have.
fn between(graph: &RuleGraph, from: &Pod, to: &Pod) -> PortSet {
    let mut allowed = PortSet::empty();
    for source in &from.addresses {
        for target in to
            .addresses
            .iter()
            .filter(|target| target.is_ipv4() == source.is_ipv4())
        {
            allowed = allowed.union(&graph.allowed(*source, *target));
        }
    }
    allowed
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
