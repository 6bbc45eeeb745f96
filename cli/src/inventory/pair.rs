//! Two inputs as two clusters that can be compared: the same pods with the same addresses under other policies.
//!
//! A pod that only the new input has is put into the old cluster as well, so that it is seen what the old policies
//! would have meant for it; what only the old input has is not compared, since nobody can reach it any more.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::{Pod, PodId, Policy};

use super::possible::possible;
use super::{Builder, Inventory, addresses};
use crate::manifest::Manifests;

/// Two clusters to compare.
#[derive(Debug)]
pub struct Pair<'a> {
    /// The old one.
    pub old: Inventory<'a>,
    /// The new one.
    pub new: Inventory<'a>,
    /// The pods to compare, which both clusters have, sorted.
    pub pods: Vec<(PodId, Standing)>,
    /// The pods that only the old input has, sorted.
    pub vanished: Vec<PodId>,
}

/// What a pod of a [`Pair`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Both inputs have it.
    Known,
    /// Only the new input has it.
    Appeared,
    /// No input has it, but policies speak of it, or anybody may start it.
    Possible,
}

impl<'a> Pair<'a> {
    /// Makes the two clusters.
    #[must_use]
    pub fn new(old: &'a Manifests, new: &'a Manifests) -> Self {
        let mut old = Builder::read(old, |_| true);
        let mut new = Builder::read(new, |_| true);
        old.pods.retain(|_, pod| !pod.finished);
        new.pods.retain(|_, pod| !pod.finished);
        let (before, after) = (old.mentioned(), new.mentioned());
        let gone = vanished_namespaces(&old, &before, &after, &new);
        for (name, labels) in &new.namespaces {
            if !before.contains(name) {
                old.namespaces.insert(name.clone(), labels.clone());
            }
        }
        for (name, labels) in &old.namespaces {
            if !after.contains(name) && !gone.contains(name) {
                new.namespaces.insert(name.clone(), labels.clone());
            }
        }
        let vanished: Vec<PodId> = missing(&old.pods, &new.pods);
        let appeared: Vec<PodId> = missing(&new.pods, &old.pods);
        for id in &appeared {
            old.pods.insert(id.clone(), new.pods[id].clone());
        }
        let mut pods: BTreeMap<PodId, Standing> = new
            .pods
            .keys()
            .map(|id| (id.clone(), Standing::Known))
            .collect();
        pods.extend(appeared.into_iter().map(|id| (id, Standing::Appeared)));
        let names = before
            .iter()
            .chain(&after)
            .filter(|name| !gone.contains(*name));
        let namespaces = names
            .map(|name| {
                let written = new
                    .namespaces
                    .get(name)
                    .or_else(|| old.namespaces.get(name));
                (name.clone(), written.cloned().unwrap_or_default())
            })
            .collect();
        let both: BTreeMap<PodId, Pod> = old
            .pods
            .iter()
            .chain(&new.pods)
            .map(|(id, pod)| (id.clone(), pod.clone()))
            .collect();
        let policies: Vec<&Policy> = old
            .policies
            .values()
            .chain(new.policies.values())
            .map(|(policy, _)| policy)
            .filter(|policy| !gone.contains(&*policy.id.namespace))
            .collect();
        let possible = possible(&namespaces, &both, &policies, &[]);
        for cluster in [&mut old, &mut new] {
            for (name, labels) in &possible.namespaces {
                let entry = cluster.namespaces.entry(name.clone());
                entry.or_insert_with(|| labels.clone());
            }
            cluster.pods.extend(possible.pods.clone());
        }
        pods.extend(possible.pods.into_keys().map(|id| (id, Standing::Possible)));
        give_out(&mut old, &mut new);
        Self {
            old: old.finish(),
            new: new.finish(),
            pods: pods.into_iter().collect(),
            vanished,
        }
    }

    /// The pods to compare, as the new cluster has them.
    pub fn new_pods(&self) -> Vec<&Pod> {
        self.pods_of(&self.new)
    }

    /// The pods to compare, as the old cluster has them.
    pub fn old_pods(&self) -> Vec<&Pod> {
        self.pods_of(&self.old)
    }

    fn pods_of<'p>(&self, inventory: &'p Inventory<'_>) -> Vec<&'p Pod> {
        let all = inventory.cluster.pods();
        self.pods.iter().map(|(id, _)| all[id].as_ref()).collect()
    }
}

/// The namespaces that the new input has done away with: it does not speak of them, and the old one defined them or
/// had pods there. Where there were policies alone, their pods live elsewhere and lose these policies.
fn vanished_namespaces(
    old: &Builder<'_>,
    before: &BTreeSet<String>,
    after: &BTreeSet<String>,
    new: &Builder<'_>,
) -> BTreeSet<String> {
    let speaks_of_pods = !new.pods.is_empty() || !new.namespaces.is_empty();
    let had_pods = |name: &str| old.pods.keys().any(|id| &*id.namespace == name);
    before
        .difference(after)
        .filter(|name| speaks_of_pods && (old.namespaces.contains_key(*name) || had_pods(name)))
        .cloned()
        .collect()
}

fn missing(of: &BTreeMap<PodId, Pod>, from: &BTreeMap<PodId, Pod>) -> Vec<PodId> {
    of.keys()
        .filter(|id| !from.contains_key(*id))
        .cloned()
        .collect()
}

/// Gives the same pods and nodes the same addresses in both clusters, and no address of the one to another pod of the
/// other.
fn give_out<'a>(old: &mut Builder<'a>, new: &mut Builder<'a>) {
    let mut pods = new.pods.clone();
    let mut nodes = new.nodes.clone();
    let mut reserved = Vec::new();
    for (id, pod) in &old.pods {
        reserved.extend(pod.addresses.iter().chain(&pod.host_addresses));
        let union = pods.entry(id.clone()).or_insert_with(|| pod.clone());
        if union.addresses.is_empty() {
            union.addresses.clone_from(&pod.addresses);
        }
    }
    for (name, node) in &old.nodes {
        reserved.extend(&node.addresses);
        let union = nodes.entry(name.clone()).or_insert_with(|| node.clone());
        if union.addresses.is_empty() {
            union.addresses.clone_from(&node.addresses);
        }
    }
    let policies: Vec<Policy> = old
        .policies
        .values()
        .chain(new.policies.values())
        .map(|(policy, _)| policy.clone())
        .collect();
    let policies: Vec<&Policy> = policies.iter().collect();
    addresses::give_out(&mut pods, &mut nodes, &policies, &reserved);
    for cluster in [old, new] {
        for (id, pod) in &mut cluster.pods {
            if pod.addresses.is_empty() {
                pod.addresses.clone_from(&pods[id].addresses);
            }
        }
        for (name, node) in &mut cluster.nodes {
            if node.addresses.is_empty() {
                node.addresses.clone_from(&nodes[name].addresses);
            }
        }
    }
}
