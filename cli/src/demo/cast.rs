//! Who takes part in a demonstration, and who cannot.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use nopal_lab::{NodeSpec, PodSpec, Topology, is_routable};
use policy_core::{Cluster, Pod, PodId, RuleGraph};

use super::{blocks, nodes, plan};

/// How large a demonstration may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pods, each of which is a network namespace.
    pub pods: usize,
    /// Probes.
    pub probes: usize,
}

/// The participants.
#[derive(Debug)]
pub struct Cast {
    /// Pods, then nodes, then addresses outside the cluster; each sorted by name.
    pub endpoints: Vec<Endpoint>,
    /// The namespaces that they live in.
    pub topology: Topology,
    /// Who or what does not take part.
    pub left_out: Vec<LeftOut>,
}

/// A participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `shop/web`, `shop/Deployment/web`, a node's name, or an address.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// What a participant is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A pod with a network of its own.
    Pod {
        /// The node that it runs on.
        node: String,
    },
    /// A node, which speaks for the pods on its network as well.
    Node {
        /// These pods.
        host_network: Vec<String>,
    },
    /// An address outside the cluster.
    External,
}

impl Endpoint {
    /// Whether it is a pod with a network of its own.
    pub fn is_pod(&self) -> bool {
        matches!(self.kind, Kind::Pod { .. })
    }
}

/// Something that does not take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

impl Cast {
    /// Chooses the participants. Addresses are those of the cluster, as far as one owner alone can have them.
    pub fn new(cluster: &Cluster, graph: &RuleGraph, limits: Limits) -> Self {
        let mut left_out = Vec::new();
        let pods = pods(cluster, graph, limits.pods, &mut left_out);
        let taken: BTreeSet<IpAddr> = cluster
            .pods()
            .values()
            .filter(|pod| pod.is_selectable())
            .flat_map(|pod| pod.addresses.iter().copied())
            .collect();
        let busy: BTreeSet<&str> = pods.iter().map(|pod| pod.node.as_str()).collect();
        let nodes = nodes::nodes(cluster, &taken, &busy, &mut left_out);
        let has = |is_v4: &bool| {
            let mut addresses = pods.iter().flat_map(|pod| &pod.addresses);
            addresses.any(|address| address.is_ipv4() == *is_v4)
        };
        let families: Vec<bool> = [true, false].into_iter().filter(has).collect();
        let known = known_addresses(cluster).into_iter().collect();
        let externals = blocks::addresses(cluster, &known, &families);
        Self {
            endpoints: endpoints(cluster, &pods, &nodes, &externals),
            topology: Topology {
                nodes,
                pods,
                externals,
            },
            left_out,
        }
    }

    /// How many pods take part, those on their node's network included.
    pub fn pod_count(&self) -> usize {
        let count = |endpoint: &Endpoint| match &endpoint.kind {
            Kind::Pod { .. } => 1,
            Kind::Node { host_network } => host_network.len(),
            Kind::External => 0,
        };
        self.endpoints.iter().map(count).sum()
    }
}

fn endpoints(
    cluster: &Cluster,
    pods: &[PodSpec],
    nodes: &[NodeSpec],
    externals: &[IpAddr],
) -> Vec<Endpoint> {
    let pods = pods.iter().map(|pod| Endpoint {
        name: pod.name.clone(),
        kind: Kind::Pod {
            node: pod.node.clone(),
        },
        addresses: pod.addresses.clone(),
    });
    let nodes = nodes
        .iter()
        .filter(|node| !node.addresses.is_empty())
        .map(|node| Endpoint {
            name: node.name.clone(),
            kind: Kind::Node {
                host_network: host_network_pods(cluster, &node.name),
            },
            addresses: node.addresses.clone(),
        });
    let externals = externals.iter().map(|address| Endpoint {
        name: address.to_string(),
        kind: Kind::External,
        addresses: vec![*address],
    });
    pods.chain(nodes).chain(externals).collect()
}

fn host_network_pods(cluster: &Cluster, node: &str) -> Vec<String> {
    let pods = cluster
        .pods()
        .values()
        .filter(|pod| pod.host_network && !pod.finished && pod.node.as_deref() == Some(node));
    pods.map(|pod| pod.id.to_string()).collect()
}

/// The pods with a network of their own, sorted by name.
fn pods(
    cluster: &Cluster,
    graph: &RuleGraph,
    limit: usize,
    left_out: &mut Vec<LeftOut>,
) -> Vec<PodSpec> {
    let contested: BTreeMap<IpAddr, Vec<&PodId>> = graph
        .contested()
        .map(|(address, pods)| (address, pods.iter().map(|pod| &pod.id).collect()))
        .collect();
    let mut standing = Vec::new();
    for pod in cluster.pods().values() {
        match stand(pod, graph, &contested, left_out) {
            Ok(Some(pod)) => standing.push(pod),
            Ok(None) => {}
            Err(why) => left_out.push(LeftOut {
                what: pod.id.to_string(),
                why,
            }),
        }
    }
    let total = standing.len();
    if total > limit {
        left_out.push(LeftOut {
            what: format!("{} of {total} pods", total - limit),
            why: format!("a demonstration has at most {limit}; --pods changes that"),
        });
        let chosen: BTreeSet<usize> = plan::sample(total, limit).into_iter().collect();
        let mut position = 0..;
        standing.retain(|_| position.next().is_some_and(|at| chosen.contains(&at)));
    }
    standing
}

/// The pod with the addresses that are its alone; `None` when it lives on its node's network.
fn stand(
    pod: &Pod,
    graph: &RuleGraph,
    contested: &BTreeMap<IpAddr, Vec<&PodId>>,
    left_out: &mut Vec<LeftOut>,
) -> Result<Option<PodSpec>, String> {
    if pod.finished {
        return Err("has finished".to_owned());
    }
    let node = pod.node.as_ref().ok_or("runs on no node")?;
    if pod.host_network {
        return Ok(None);
    }
    let own = graph.addresses(pod);
    let (addresses, lost): (Vec<IpAddr>, Vec<IpAddr>) = pod
        .addresses
        .iter()
        .partition(|address| own.contains(address) && is_routable(**address));
    let mut reasons = lost.iter().map(|address| match contested.get(address) {
        Some(pods) => {
            let pods: Vec<String> = pods.iter().map(ToString::to_string).collect();
            format!("{address} is claimed by {}", pods.join(" and "))
        }
        None if own.contains(address) => format!("{address} cannot be routed"),
        None => format!("{address} belongs to another pod by now"),
    });
    if addresses.is_empty() {
        return Err(reasons
            .next()
            .unwrap_or_else(|| "has no address".to_owned()));
    }
    left_out.extend(reasons.map(|why| LeftOut {
        what: format!("an address of {}", pod.id),
        why,
    }));
    Ok(Some(PodSpec {
        name: pod.id.to_string(),
        node: node.to_string(),
        addresses,
    }))
}

fn known_addresses(cluster: &Cluster) -> BTreeSet<IpAddr> {
    let pods = cluster
        .pods()
        .values()
        .flat_map(|pod| pod.addresses.iter().chain(&pod.host_addresses));
    let nodes = cluster.nodes().values().flat_map(|node| &node.addresses);
    pods.chain(nodes).copied().collect()
}
