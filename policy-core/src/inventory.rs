//! Who has which address, and which pods are alike: the tables that resolution and evaluation look things up in.
//!
//! Pods of one namespace with equal labels and equal named ports form a *class*. Policies cannot tell them apart,
//! so selectors are matched against classes, of which a large cluster has a few thousand.

use crate::cluster::{Cluster, ContainerPort, Pod, PodId};
use crate::ip_set::IpSet;
use crate::labels::Labels;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

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
    /// The addresses of `owners`, sorted when somebody first asks.
    sorted: OnceLock<Vec<(IpAddr, PodIndex)>>,
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
        let ((namespaces, classes), (owners, contested)) =
            rayon::join(|| classify(cluster, &pods), || addresses(&pods));
        let mut class_of = vec![0; pods.len()];
        for (id, class) in (0..).zip(&classes) {
            for &pod in &class.pods {
                class_of[pod as usize] = id;
            }
        }
        let node_addresses = node_addresses(cluster);
        Self {
            namespaces,
            classes,
            pods,
            class_of,
            owners,
            sorted: OnceLock::new(),
            contested,
            node_addresses,
        }
    }

    /// The position of a pod.
    pub(crate) fn pod_index(&self, id: &PodId) -> Option<PodIndex> {
        let found = self.pods.binary_search_by(|held| held.id.cmp(id)).ok()?;
        u32::try_from(found).ok()
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
        let sorted = self.sorted.get_or_init(|| {
            let mut sorted: Vec<(IpAddr, PodIndex)> = self
                .owners
                .iter()
                .map(|(&address, &pod)| (address, pod))
                .collect();
            sorted.sort_unstable();
            sorted
        });
        block.ranges().flat_map(|(first, last)| {
            let start = sorted.partition_point(|entry| entry.0 < first);
            let within = sorted[start..]
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
///
/// The cluster lets equal labels and equal port lists share their memory, so pods are told apart by where these lie,
/// and only one pod of each group is looked at.
fn classify(cluster: &Cluster, pods: &[Arc<Pod>]) -> (Vec<Namespace>, Vec<PodClass>) {
    let mut namespaces: Vec<Namespace> = Vec::with_capacity(cluster.namespaces().len());
    let mut classes: Vec<PodClass> = Vec::new();
    let mut rest = (0..).zip(pods).peekable();
    for (name, namespace) in cluster.namespaces() {
        let mut groups: FxHashMap<(usize, usize), Vec<PodIndex>> = FxHashMap::default();
        while let Some((index, pod)) = rest.next_if(|(_, pod)| pod.id.namespace == *name) {
            let key = (pod.labels.location(), pod.ports.as_ptr().addr());
            groups.entry(key).or_default().push(index);
        }
        let mut merged: BTreeMap<(&Labels, Vec<&ContainerPort>), Vec<PodIndex>> = BTreeMap::new();
        for members in groups.into_values() {
            let pod = &pods[members[0] as usize];
            let named = pod
                .ports
                .iter()
                .filter(|port| port.name.is_some())
                .collect();
            merged
                .entry((&pod.labels, named))
                .or_default()
                .extend(members);
        }
        let start = number(classes.len());
        classes.extend(merged.into_iter().map(|((labels, ports), mut pods)| {
            pods.sort_unstable();
            let ports = ports.into_iter().cloned().collect();
            PodClass {
                labels: labels.clone(),
                ports,
                pods,
            }
        }));
        let classes = start..number(classes.len());
        namespaces.push(Namespace {
            name: name.clone(),
            labels: namespace.labels.clone(),
            classes,
        });
    }
    (namespaces, classes)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("fewer than 2^32 classes")
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
