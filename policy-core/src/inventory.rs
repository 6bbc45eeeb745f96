//! Who has which address, and which pods are alike: the tables that resolution and evaluation look things up in.
//!
//! Pods of one namespace with equal labels and equal named ports form a *class*. Policies cannot tell them apart,
//! so selectors are matched against classes, of which a large cluster has a few thousand.

use crate::cluster::{Cluster, ContainerPort, Pod};
use crate::ip_set::IpSet;
use crate::labels::Labels;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

/// A position in [`Inventory::classes`].
pub(crate) type ClassId = u32;
/// A position in [`Inventory::pods`].
pub(crate) type PodIndex = u32;

/// The pods that policies speak of, by class and by address.
#[derive(Debug)]
pub(crate) struct Inventory {
    /// Namespaces, sorted by name, each with the range of its classes.
    pub(crate) namespaces: Vec<Namespace>,
    /// Classes, sorted by namespace, labels and named ports.
    pub(crate) classes: Vec<PodClass>,
    /// The pods that policies speak of, sorted by identity.
    pub(crate) pods: Vec<Arc<Pod>>,
    /// For each pod, its class.
    pub(crate) class_of: Vec<ClassId>,
    owners: FxHashMap<IpAddr, PodIndex>,
    /// The addresses of `owners`, sorted.
    sorted: Vec<(IpAddr, PodIndex)>,
    contested: BTreeMap<IpAddr, Vec<PodIndex>>,
    node_addresses: FxHashMap<IpAddr, Vec<Arc<str>>>,
}

/// A namespace and its classes.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) name: Arc<str>,
    pub(crate) labels: Labels,
    pub(crate) classes: Range<ClassId>,
}

/// Pods that no policy can tell apart.
#[derive(Debug)]
pub(crate) struct PodClass {
    pub(crate) labels: Labels,
    /// The named ports, sorted.
    pub(crate) ports: Vec<ContainerPort>,
    pub(crate) pods: Vec<PodIndex>,
}

/// Whose an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    /// One pod's.
    Pod(PodIndex),
    /// Several live pods say that it is theirs.
    Contested(&'a [PodIndex]),
    /// No pod's: a node's, or an address outside the cluster.
    NoPod,
}

impl Inventory {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let pods: Vec<Arc<Pod>> = cluster
            .pods()
            .values()
            .filter(|pod| pod.is_selectable())
            .cloned()
            .collect();
        let (namespaces, classes) = classify(cluster, &pods);
        let mut class_of = vec![0; pods.len()];
        for (id, class) in (0..).zip(&classes) {
            for &pod in &class.pods {
                class_of[pod as usize] = id;
            }
        }
        let (owners, contested) = addresses(&pods);
        let mut sorted: Vec<(IpAddr, PodIndex)> = owners
            .iter()
            .map(|(&address, &pod)| (address, pod))
            .collect();
        sorted.sort_unstable();
        let node_addresses = node_addresses(cluster);
        Self {
            namespaces,
            classes,
            pods,
            class_of,
            owners,
            sorted,
            contested,
            node_addresses,
        }
    }

    /// Whose `address` is.
    pub(crate) fn owner(&self, address: IpAddr) -> Owner<'_> {
        match self.owners.get(&address) {
            Some(&pod) => Owner::Pod(pod),
            None => match self.contested.get(&address) {
                Some(pods) => Owner::Contested(pods),
                None => Owner::NoPod,
            },
        }
    }

    /// The addresses in `block` that are one pod's, with that pod.
    pub(crate) fn pods_within(&self, block: &IpSet) -> impl Iterator<Item = (IpAddr, PodIndex)> {
        block.ranges().flat_map(|(first, last)| {
            let start = self.sorted.partition_point(|entry| entry.0 < first);
            let within = self.sorted[start..]
                .iter()
                .take_while(move |entry| entry.0 <= last);
            within.copied()
        })
    }

    /// The addresses that several live pods claim, with their claimants.
    pub(crate) fn contested(&self) -> &BTreeMap<IpAddr, Vec<PodIndex>> {
        &self.contested
    }

    /// The addresses that are this pod's alone.
    pub(crate) fn addresses(&self, pod: PodIndex) -> impl Iterator<Item = IpAddr> {
        let addresses = self.pods[pod as usize].addresses.iter().copied();
        addresses.filter(move |&address| self.owner(address) == Owner::Pod(pod))
    }

    /// Whether `address` belongs to the node that `pod` runs on.
    pub(crate) fn is_own_node(&self, pod: PodIndex, address: IpAddr) -> bool {
        let Some(node) = &self.pods[pod as usize].node else {
            return false;
        };
        self.node_addresses
            .get(&address)
            .is_some_and(|nodes| nodes.contains(node))
    }

    /// The position of a namespace.
    pub(crate) fn namespace(&self, name: &str) -> Option<u32> {
        let found = self
            .namespaces
            .binary_search_by(|held| held.name.as_ref().cmp(name))
            .ok()?;
        u32::try_from(found).ok()
    }
}

/// Groups pods into classes; gives the namespaces and the classes, both in canonical order.
fn classify(cluster: &Cluster, pods: &[Arc<Pod>]) -> (Vec<Namespace>, Vec<PodClass>) {
    type Key<'a> = (&'a str, &'a Labels, Vec<&'a ContainerPort>);
    let mut groups: FxHashMap<Key, Vec<PodIndex>> = FxHashMap::default();
    for (index, pod) in (0..).zip(pods) {
        let named = pod
            .ports
            .iter()
            .filter(|port| port.name.is_some())
            .collect();
        groups
            .entry((&pod.id.namespace, &pod.labels, named))
            .or_default()
            .push(index);
    }
    let mut groups: Vec<(Key, Vec<PodIndex>)> = groups.into_iter().collect();
    groups.sort_unstable_by(|left, right| left.0.cmp(&right.0));

    let mut namespaces: Vec<Namespace> = Vec::with_capacity(cluster.namespaces().len());
    let mut start: u32 = 0;
    for (name, labels) in cluster.namespaces() {
        let rest = &groups[start as usize..];
        let held = rest.partition_point(|((namespace, ..), _)| *namespace <= name.as_ref());
        let end = start + u32::try_from(held).expect("fewer than 2^32 classes");
        namespaces.push(Namespace {
            name: name.clone(),
            labels: labels.clone(),
            classes: start..end,
        });
        start = end;
    }
    let classes = groups
        .into_iter()
        .map(|((_, labels, ports), pods)| PodClass {
            labels: labels.clone(),
            ports: ports.into_iter().cloned().collect(),
            pods,
        });
    (namespaces, classes.collect())
}

type Owners = FxHashMap<IpAddr, PodIndex>;

/// Sorts addresses into owned and contested ones. Where one claimant alone is not terminating, the address is its:
/// an address is given out again only after the sandbox that had it is gone.
fn addresses(pods: &[Arc<Pod>]) -> (Owners, BTreeMap<IpAddr, Vec<PodIndex>>) {
    let mut owners = Owners::with_capacity_and_hasher(pods.len() * 2, rustc_hash::FxBuildHasher);
    let mut shared: BTreeMap<IpAddr, Vec<PodIndex>> = BTreeMap::new();
    for (index, pod) in (0..).zip(pods) {
        for &address in &pod.addresses {
            match owners.insert(address, index) {
                Some(earlier) if earlier != index => {
                    shared
                        .entry(address)
                        .or_insert_with(|| vec![earlier])
                        .push(index);
                }
                _ => {}
            }
        }
    }
    shared.retain(|address, claimants| {
        let mut staying = claimants
            .iter()
            .filter(|&&pod| !pods[pod as usize].terminating);
        if let (Some(&owner), None) = (staying.next(), staying.next()) {
            owners.insert(*address, owner);
            return false;
        }
        owners.remove(address);
        true
    });
    (owners, shared)
}

/// The nodes that each node address belongs to: from Node objects, from what pods say of their host, and from pods on
/// their node's network.
fn node_addresses(cluster: &Cluster) -> FxHashMap<IpAddr, Vec<Arc<str>>> {
    let mut found: FxHashMap<IpAddr, Vec<Arc<str>>> = FxHashMap::default();
    let mut add = |address: IpAddr, node: &Arc<str>| {
        let nodes = found.entry(address).or_default();
        if !nodes.contains(node) {
            nodes.push(node.clone());
        }
    };
    for node in cluster.nodes().values() {
        for &address in &node.addresses {
            add(address, &node.name);
        }
    }
    for pod in cluster.pods().values() {
        let Some(node) = &pod.node else { continue };
        for &address in &pod.host_addresses {
            add(address, node);
        }
        if pod.host_network {
            for &address in &pod.addresses {
                add(address, node);
            }
        }
    }
    found
}
