//! Where the addresses of a cluster are, and so which nodes forward a packet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy_core::{Cluster, Pod, RuleGraph};

/// Where an address is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// In a pod of this node, so its packets are forwarded by it.
    Pod(String),
    /// On this node itself.
    Node(String),
    /// Outside.
    World,
}

/// Where the addresses of a cluster are.
pub(crate) struct Places(BTreeMap<IpAddr, BTreeSet<Place>>);

impl Places {
    /// An address that several pods, or several nodes, claim is at each of them. A live pod's address is the pod's,
    /// whatever nodes say.
    pub(crate) fn new(cluster: &Cluster, graph: &RuleGraph) -> Self {
        let mut places: BTreeMap<IpAddr, BTreeSet<Place>> = BTreeMap::new();
        let owned = live_pods(cluster)
            .flat_map(|pod| graph.addresses(pod).into_iter().map(move |a| (a, pod)));
        let contested = graph
            .contested()
            .flat_map(|(address, pods)| pods.into_iter().map(move |pod| (address, pod)));
        for (address, pod) in owned.chain(contested) {
            let place = Place::Pod(node_of(pod).to_owned());
            places.entry(address).or_default().insert(place);
        }
        for (node, addresses) in node_addresses(cluster) {
            for address in addresses {
                let claimed = places.entry(address).or_default();
                if !claimed.iter().any(|place| matches!(place, Place::Pod(_))) {
                    claimed.insert(Place::Node(node.clone()));
                }
            }
        }
        Self(places)
    }

    /// The nodes whose forward hook a packet passes, for every place where its ends can be. Not the hook of a node
    /// that is itself an end: what a node and its own pods say to each other is not forwarded. A packet of an address
    /// to itself went through a Service and comes back at the pod's node.
    pub(crate) fn paths(&self, from: IpAddr, to: IpAddr) -> Vec<BTreeSet<String>> {
        let (sources, destinations) = (self.of(from), self.of(to));
        let pairs = sources
            .iter()
            .flat_map(|source| destinations.iter().map(move |place| (source, place)));
        pairs
            .filter(|(source, destination)| from != to || source == destination)
            .map(|(source, destination)| forwarding(source, destination))
            .collect()
    }

    /// The addresses that are on this node itself. One that several nodes claim is on the first of them.
    pub(crate) fn on_node(&self, node: &str) -> Vec<IpAddr> {
        let here = Place::Node(node.to_owned());
        let on_node = self
            .0
            .iter()
            .filter(|(_, places)| places.first() == Some(&here));
        on_node.map(|(address, _)| *address).collect()
    }

    fn of(&self, address: IpAddr) -> BTreeSet<Place> {
        let place = self.0.get(&address).cloned();
        place.unwrap_or_else(|| BTreeSet::from([Place::World]))
    }
}

/// The nodes of the objects, also those that only pods mention.
pub(crate) fn nodes(cluster: &Cluster) -> BTreeSet<String> {
    let objects = cluster.nodes().keys();
    let of_pods = cluster.pods().values().filter_map(|pod| pod.node.as_ref());
    objects.chain(of_pods).map(ToString::to_string).collect()
}

/// The pods that have a wire of their own.
pub(crate) fn live_pods(cluster: &Cluster) -> impl Iterator<Item = &Pod> {
    let pods = cluster.pods().values().map(AsRef::as_ref);
    pods.filter(|pod: &&Pod| pod.is_selectable() && !pod.addresses.is_empty())
}

/// # Panics
/// When the pod has an address and runs nowhere, which no cluster says of a pod.
pub(crate) fn node_of(pod: &Pod) -> &str {
    let node = pod.node.as_deref();
    node.unwrap_or_else(|| panic!("pod {} has an address and no node", pod.id))
}

fn forwarding(source: &Place, destination: &Place) -> BTreeSet<String> {
    match (source, destination) {
        (Place::Pod(pod), Place::Node(node)) | (Place::Node(node), Place::Pod(pod))
            if pod == node =>
        {
            BTreeSet::new()
        }
        ends => [ends.0, ends.1]
            .into_iter()
            .filter_map(|end| match end {
                Place::Pod(node) => Some(node.clone()),
                Place::Node(_) | Place::World => None,
            })
            .collect(),
    }
}

/// What nodes say of themselves, what their pods say of them, and what their host-network pods have.
fn node_addresses(cluster: &Cluster) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let mut addresses: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for (name, node) in cluster.nodes() {
        addresses
            .entry(name.to_string())
            .or_default()
            .extend(&node.addresses);
    }
    for pod in cluster.pods().values() {
        let Some(node) = &pod.node else { continue };
        let known = addresses.entry(node.to_string()).or_default();
        known.extend(&pod.host_addresses);
        if pod.host_network {
            known.extend(&pod.addresses);
        }
    }
    addresses
}
