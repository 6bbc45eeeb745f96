//! The namespaces and pods of the whole cluster as they are now: which pods are alike, and whose each address is.
//!
//! The counterpart of the inventory, kept by events. An emptied class stays until the end of the batch, so that its
//! number means the same before and after.

use super::addresses::{Addresses, Claim};
use super::namespaces::{NamespaceNumber, Namespaces};
use super::postings::{Postings, size};
use super::slab::Slab;
use crate::cluster::{ContainerPort, Pod, PodId};
use crate::directory::Scope;
use crate::inventory::ClassId;
use crate::ip_set::IpSet;
use crate::labels::Labels;
use crate::resolve::PortName;
use crate::selector::Selector;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// The number of a pod.
pub(super) type PodNumber = u32;
/// Namespaces, pods, classes and addresses.
#[derive(Debug)]
pub(super) struct Population {
    node: Arc<str>,
    pub(super) namespaces: Namespaces,
    pods: Slab<PodEntry>,
    pod_numbers: FxHashMap<PodId, PodNumber>,
    pub(super) classes: Slab<Class>,
    class_numbers: FxHashMap<Arc<ClassKey>, ClassId>,
    class_labels: Postings,
    bearers: FxHashMap<PortName, BTreeSet<ClassId>>,
    addresses: Addresses,
}

#[derive(Debug)]
struct PodEntry {
    pod: Arc<Pod>,
    namespace: NamespaceNumber,
    /// `None` for a pod that policies do not speak of.
    class: Option<ClassId>,
}

/// What makes pods one class.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ClassKey {
    pub(super) namespace: NamespaceNumber,
    pub(super) labels: Labels,
    /// The named ports, sorted.
    pub(super) ports: Vec<ContainerPort>,
}

#[derive(Debug)]
pub(super) struct Class {
    pub(super) key: Arc<ClassKey>,
    pods: BTreeSet<PodNumber>,
    /// Those on the node.
    local: BTreeSet<PodNumber>,
}

/// Whose an address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// No pod's.
    NoPod,
    /// One pod's.
    Owned {
        /// That pod's class.
        class: ClassId,
        /// Whether it is on the node.
        is_local: bool,
    },
    /// Several live pods say that it is theirs.
    Contested {
        /// They, sorted.
        pods: Vec<PodId>,
        /// Whether one is on the node.
        is_local: bool,
    },
}

impl Standing {
    /// The class of the address's owner.
    pub(super) fn class(&self) -> Option<ClassId> {
        match self {
            Self::Owned { class, .. } => Some(*class),
            Self::NoPod | Self::Contested { .. } => None,
        }
    }

    /// The claimants of a contested address, one of which is on the node.
    pub(super) fn contested_here(&self) -> Option<&Vec<PodId>> {
        match self {
            Self::Contested {
                pods,
                is_local: true,
            } => Some(pods),
            _ => None,
        }
    }
}

/// What the replacement of a pod did to classes.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// The class that the pod left, when it was its last one.
    pub(super) emptied: Option<ClassId>,
    /// A class that did not exist before.
    pub(super) created: Option<ClassId>,
    /// Classes that a pod of the node left or joined.
    pub(super) local: Vec<ClassId>,
}

impl Population {
    pub(super) fn new(node: &str) -> Self {
        Self {
            node: node.into(),
            namespaces: Namespaces::default(),
            pods: Slab::default(),
            pod_numbers: FxHashMap::default(),
            classes: Slab::default(),
            class_numbers: FxHashMap::default(),
            class_labels: Postings::default(),
            bearers: FxHashMap::default(),
            addresses: Addresses::default(),
        }
    }

    pub(super) fn pod(&self, id: &PodId) -> Option<&Arc<Pod>> {
        let &number = self.pod_numbers.get(id)?;
        Some(&self.pods[number].pod)
    }

    pub(super) fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter().map(|(_, entry)| &entry.pod)
    }

    /// The pods on the node that policies speak of.
    pub(super) fn local_pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        let local = self.classes.iter().flat_map(|(_, class)| &class.local);
        local.map(|&number| &self.pods[number].pod)
    }

    /// Puts a pod in, replaces it, or takes it out.
    pub(super) fn set_pod(&mut self, id: &PodId, pod: Option<Pod>) -> Moved {
        let mut moved = Moved::default();
        let known = self.pod_numbers.get(id).copied();
        if let Some(number) = known {
            self.leave(number, &mut moved);
        }
        match (known, pod) {
            (Some(number), Some(pod)) => {
                let namespace = self.pods[number].namespace;
                self.join(number, namespace, pod, &mut moved);
            }
            (None, Some(pod)) => {
                let namespace = self.namespaces.mention(&pod.id.namespace);
                let entry = PodEntry {
                    pod: Arc::new(pod.clone()),
                    namespace,
                    class: None,
                };
                let number = self.pods.insert(entry);
                self.pod_numbers.insert(pod.id.clone(), number);
                self.join(number, namespace, pod, &mut moved);
            }
            (Some(number), None) => {
                self.pod_numbers.remove(id);
                if let Some(entry) = self.pods.remove(number) {
                    self.namespaces.unmention(entry.namespace);
                }
            }
            (None, None) => {}
        }
        moved
    }

    fn leave(&mut self, number: PodNumber, moved: &mut Moved) {
        let entry = &mut self.pods[number];
        let Some(id) = entry.class.take() else { return };
        for &address in &entry.pod.addresses {
            self.addresses.release(address, number);
        }
        let class = &mut self.classes[id];
        class.pods.remove(&number);
        if class.pods.is_empty() {
            moved.emptied = Some(id);
        }
        if class.local.remove(&number) {
            moved.local.push(id);
            if class.local.is_empty() {
                let namespace = self.namespaces.get_mut(class.key.namespace);
                namespace.local.remove(&id);
            }
        }
    }

    fn join(
        &mut self,
        number: PodNumber,
        namespace: NamespaceNumber,
        mut pod: Pod,
        moved: &mut Moved,
    ) {
        if !pod.is_selectable() {
            self.pods[number].pod = Arc::new(pod);
            return;
        }
        let named = pod.ports.iter().filter(|port| port.name.is_some());
        let key = ClassKey {
            namespace,
            labels: pod.labels.clone(),
            ports: named.cloned().collect(),
        };
        let id = self.class(key, moved);
        let class = &mut self.classes[id];
        // The pods of a class share their labels' memory.
        pod.labels = class.key.labels.clone();
        class.pods.insert(number);
        let is_local = pod.node.as_ref() == Some(&self.node);
        if is_local {
            class.local.insert(number);
            self.namespaces.get_mut(namespace).local.insert(id);
            moved.local.push(id);
        }
        let claim = Claim {
            pod: number,
            class: id,
            is_local,
            is_terminating: pod.terminating,
        };
        for &address in &pod.addresses {
            self.addresses.claim(address, claim);
        }
        self.pods[number] = PodEntry {
            pod: Arc::new(pod),
            namespace,
            class: Some(id),
        };
    }

    fn class(&mut self, key: ClassKey, moved: &mut Moved) -> ClassId {
        if let Some(&id) = self.class_numbers.get(&key) {
            return id;
        }
        let key = Arc::new(key);
        let id = self.classes.insert(Class {
            key: key.clone(),
            pods: BTreeSet::new(),
            local: BTreeSet::new(),
        });
        self.class_labels.insert(&key.labels, id);
        let namespace = self.namespaces.get_mut(key.namespace);
        namespace.classes.insert(id);
        for name in port_names(&key.ports) {
            self.bearers.entry(name).or_default().insert(id);
        }
        self.class_numbers.insert(key, id);
        moved.created = Some(id);
        id
    }

    pub(super) fn is_emptied(&self, class: ClassId) -> bool {
        self.classes[class].pods.is_empty()
    }

    /// Takes an emptied class out of every index. Its number stays in use until it is given back.
    pub(super) fn retire(&mut self, id: ClassId) {
        let key = self.classes[id].key.clone();
        self.class_labels.remove(&key.labels, id);
        let namespace = self.namespaces.get_mut(key.namespace);
        namespace.classes.remove(&id);
        for name in port_names(&key.ports) {
            if let Some(classes) = self.bearers.get_mut(&name) {
                classes.remove(&id);
                if classes.is_empty() {
                    self.bearers.remove(&name);
                }
            }
        }
        self.class_numbers.remove(&key);
    }

    /// Whose `address` is.
    pub(super) fn standing(&self, address: IpAddr) -> Standing {
        if let Some(owner) = self.addresses.owner(address) {
            return Standing::Owned {
                class: owner.class,
                is_local: owner.is_local,
            };
        }
        let claims = self.addresses.claims(address);
        if claims.is_empty() {
            return Standing::NoPod;
        }
        let pods = claims.iter().map(|claim| &self.pods[claim.pod].pod.id);
        let mut pods: Vec<PodId> = pods.cloned().collect();
        pods.sort_unstable();
        let is_local = claims.iter().any(|claim| claim.is_local);
        Standing::Contested { pods, is_local }
    }

    /// The addresses that are one pod's alone, of a class's pods.
    pub(super) fn addresses(&self, class: ClassId) -> impl Iterator<Item = IpAddr> {
        self.owned(&self.classes[class].pods)
    }

    /// The same of those pods of a class that are on the node.
    pub(super) fn local_addresses(&self, class: ClassId) -> impl Iterator<Item = IpAddr> {
        self.owned(&self.classes[class].local)
    }

    fn owned<'p>(&'p self, pods: &'p BTreeSet<PodNumber>) -> impl Iterator<Item = IpAddr> + 'p {
        pods.iter().flat_map(move |&pod| {
            let addresses = self.pods[pod].pod.addresses.iter().copied();
            let is_owner = move |address: &IpAddr| {
                let owner = self.addresses.owner(*address);
                owner.is_some_and(|owner| owner.pod == pod)
            };
            addresses.filter(is_owner)
        })
    }

    /// Some pod of a class.
    pub(super) fn representative(&self, class: ClassId) -> Option<&Pod> {
        let number = self.classes[class].pods.first()?;
        Some(&self.pods[*number].pod)
    }

    /// The addresses in `block` that are one pod's, with that pod's class.
    pub(super) fn pods_within(&self, block: &IpSet) -> Vec<(IpAddr, ClassId)> {
        self.addresses.within(block).collect()
    }

    /// The classes that a peer's selectors match, in ascending order: by going through the namespaces, or through
    /// everything that has a demanded label, whichever looks at less.
    pub(super) fn select(&self, scope: Scope<'_>, pods: &Selector) -> Vec<ClassId> {
        let labelled = self.class_labels.narrowest(pods);
        let namespaces: Vec<NamespaceNumber> = match scope {
            Scope::One(namespace) => vec![namespace],
            Scope::Matching(selector) => self.namespaces.select(selector),
        };
        let inside = namespaces
            .iter()
            .map(|&number| self.namespaces.get(number).classes.len());
        let inside: usize = inside.sum();
        let is_match = |class: &ClassId| pods.matches(&self.classes[*class].key.labels);
        let mut found: Vec<ClassId> = match labelled {
            Some(lists) if size(&lists) < inside => {
                let classes = lists.into_iter().flatten().copied();
                let is_inside = |class: &ClassId| {
                    let namespace = self.classes[*class].key.namespace;
                    namespaces.binary_search(&namespace).is_ok()
                };
                classes.filter(is_match).filter(is_inside).collect()
            }
            _ => {
                let classes = namespaces
                    .iter()
                    .flat_map(|&number| &self.namespaces.get(number).classes);
                classes.copied().filter(is_match).collect()
            }
        };
        found.sort_unstable();
        found
    }

    /// The classes that give any of `names` to a port.
    pub(super) fn bearers(&self, names: &[PortName]) -> BTreeSet<ClassId> {
        let bearers = names.iter().filter_map(|name| self.bearers.get(name));
        bearers.flatten().copied().collect()
    }

    /// The numbers of namespaces, pods, classes, and entries of indexes.
    pub(super) fn counts(&self) -> [usize; 4] {
        let [namespaces, names] = self.namespaces.counts();
        let indexes = names
            + self.pod_numbers.len()
            + self.class_numbers.len()
            + self.class_labels.len()
            + self.bearers.len()
            + self.addresses.len();
        [namespaces, self.pods.len(), self.classes.len(), indexes]
    }
}

fn port_names(ports: &[ContainerPort]) -> impl Iterator<Item = PortName> {
    ports
        .iter()
        .filter_map(|port| Some((port.protocol, port.name.clone()?)))
}
