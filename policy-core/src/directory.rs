//! Where resolution looks pods up: which classes a selector matches, and what their ports are.
//!
//! One directory stands for a whole cluster at one moment; the incremental engine has one that follows its events.

use crate::cluster::ContainerPort;
use crate::inventory::{ClassId, Inventory};
use crate::ip_set::IpSet;
use crate::label_index::LabelIndex;
use crate::resolve::{Group, PortName};
use crate::selector::Selector;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// The namespaces of a pod peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scope<'a> {
    /// The policy's own namespace, by its number.
    One(u32),
    /// Those that a `namespaceSelector` matches.
    Matching(&'a Selector),
}

/// The pods that peers can be.
pub(crate) trait Directory<'a> {
    /// The classes of these namespaces that `pods` matches, in ascending order.
    fn select(&mut self, scope: Scope<'a>, pods: &'a Selector) -> Vec<ClassId>;

    /// The classes that give any of `names` to a port, in ascending order.
    fn bearers(&self, names: &[PortName]) -> BTreeSet<ClassId>;

    /// The named ports of a class.
    fn ports(&self, class: ClassId) -> &[ContainerPort];

    /// The addresses in `block` that are one pod's, with that pod's class.
    fn pods_within(&self, block: &IpSet) -> Vec<(IpAddr, ClassId)>;
}

/// The directory of an inventory.
pub(crate) struct Indexed<'a> {
    inventory: &'a Inventory,
    classes: LabelIndex<'a>,
    namespaces: LabelIndex<'a>,
    /// For each port name, the classes that give it to a port.
    bearers: FxHashMap<PortName, Vec<ClassId>>,
    namespace_lists: FxHashMap<&'a Selector, Arc<[u32]>>,
}

impl<'a> Indexed<'a> {
    pub(crate) fn new(inventory: &'a Inventory) -> Self {
        Self {
            inventory,
            classes: LabelIndex::new(inventory.classes.iter().map(|class| &class.labels)),
            namespaces: LabelIndex::new(inventory.namespaces.iter().map(|entry| &entry.labels)),
            bearers: bearers(inventory),
            namespace_lists: FxHashMap::default(),
        }
    }

    /// The classes that a group's policies select.
    pub(crate) fn subjects(&self, group: &Group) -> Vec<ClassId> {
        let range = self.inventory.namespaces[group.namespace as usize]
            .classes
            .clone();
        self.classes.select(group.subjects, range)
    }

    fn matching_namespaces(&mut self, selector: &'a Selector) -> Arc<[u32]> {
        let count = u32::try_from(self.inventory.namespaces.len()).expect("fewer than 2^32");
        let list = self.namespace_lists.entry(selector);
        list.or_insert_with(|| self.namespaces.select(selector, 0..count).into())
            .clone()
    }

    /// The classes of these namespaces that `pods` matches: by going through the namespaces, or through everything
    /// that has the demanded label, whichever looks at less.
    fn pods_in(&self, namespaces: &[u32], pods: &Selector) -> Vec<ClassId> {
        let range = |&namespace: &u32| {
            self.inventory.namespaces[namespace as usize]
                .classes
                .clone()
        };
        let everywhere = 0..u32::try_from(self.inventory.classes.len()).expect("fewer than 2^32");
        if self.classes.cost(pods, &everywhere) > namespaces.len() {
            let found = namespaces
                .iter()
                .flat_map(|entry| self.classes.select(pods, range(entry)));
            return found.collect();
        }
        let mut found = self.classes.select(pods, everywhere);
        let mut wanted = namespaces.iter().map(range).peekable();
        // Classes and namespaces are both in ascending order, so one pass over both suffices.
        found.retain(|class| {
            while wanted.next_if(|range| range.end <= *class).is_some() {}
            wanted.peek().is_some_and(|range| range.contains(class))
        });
        found
    }
}

impl<'a> Directory<'a> for Indexed<'a> {
    fn select(&mut self, scope: Scope<'a>, pods: &'a Selector) -> Vec<ClassId> {
        match scope {
            Scope::One(namespace) => {
                let range = self.inventory.namespaces[namespace as usize]
                    .classes
                    .clone();
                self.classes.select(pods, range)
            }
            Scope::Matching(selector) => {
                let namespaces = self.matching_namespaces(selector);
                self.pods_in(&namespaces, pods)
            }
        }
    }

    fn bearers(&self, names: &[PortName]) -> BTreeSet<ClassId> {
        let bearers = names.iter().filter_map(|name| self.bearers.get(name));
        bearers.flatten().copied().collect()
    }

    fn ports(&self, class: ClassId) -> &[ContainerPort] {
        &self.inventory.classes[class as usize].ports
    }

    fn pods_within(&self, block: &IpSet) -> Vec<(IpAddr, ClassId)> {
        let class_of = |pod| self.inventory.class_of[pod as usize];
        let within = self.inventory.pods_within(block);
        within
            .map(|(address, pod)| (address, class_of(pod)))
            .collect()
    }
}

fn bearers(inventory: &Inventory) -> FxHashMap<PortName, Vec<ClassId>> {
    let mut bearers: FxHashMap<PortName, Vec<ClassId>> = FxHashMap::default();
    for (id, class) in (0..).zip(&inventory.classes) {
        for port in &class.ports {
            if let Some(name) = &port.name {
                bearers
                    .entry((port.protocol, name.clone()))
                    .or_default()
                    .push(id);
            }
        }
    }
    bearers
}
