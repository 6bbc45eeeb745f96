//! The rule graph of one node, kept by events at a cost in proportion to what they change.
//!
//! Every pod of the cluster is known by class and by address; policies are only looked into when they select pods of
//! the node. A pod's event finds the peers that it belongs to through an index from labels to selectors, and only the
//! subject classes whose policies use these peers are looked at again. Where just addresses came or went, the
//! permissions stay as they are and the addresses are passed on; where classes or policies did, a subject class is
//! resolved and minimized anew, by the code that makes whole graphs.

mod addresses;
mod changes;
mod graph;
mod groups;
mod namespaces;
mod peer_sets;
mod permissions;
mod population;
mod postings;
mod selector_index;
mod slab;
mod subjects;

pub use changes::{
    Changes, NodeState, PermissionChange, PermissionKey, PermissionPeers, RuleChange,
    SubjectChange, SubjectId, SubjectState,
};

use crate::cluster::{Cluster, NAMESPACE_NAME_LABEL, Namespace, Node, Pod, PodId};
use crate::inventory::ClassId;
use crate::policy::{Policy, PolicyId};
use groups::Groups;
use namespaces::NamespaceNumber;
use peer_sets::{GroupNumber, PeerSets, SetNumber};
use population::{Population, Standing};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use subjects::{Moves, Subjects, Tables};

/// Something that happened to an object of the cluster. Adding and changing are the same: the object is like this now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A namespace is like this.
    Namespace(Namespace),
    /// A namespace is deleted. While it has pods or policies it counts as one without labels of its own, in which
    /// policies are enforced.
    NamespaceGone(Arc<str>),
    /// A node is like this.
    Node(Node),
    /// A node is deleted.
    NodeGone(Arc<str>),
    /// A pod is like this.
    Pod(Pod),
    /// A pod is deleted.
    PodGone(PodId),
    /// A policy is like this.
    Policy(Policy),
    /// A policy is deleted.
    PolicyGone(PolicyId),
}

/// The rule graph of one node, kept by events.
#[derive(Debug)]
pub struct Engine {
    population: Population,
    nodes: BTreeMap<Arc<str>, Node>,
    groups: Groups,
    sets: PeerSets,
    subjects: Subjects,
}

/// How much an engine holds: everything is zero when every object is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Footprint {
    /// Namespaces.
    pub namespaces: usize,
    /// Nodes.
    pub nodes: usize,
    /// Pods.
    pub pods: usize,
    /// Policies.
    pub policies: usize,
    /// Classes of pods that no policy can tell apart.
    pub classes: usize,
    /// Groups of policies with one namespace and `podSelector`.
    pub groups: usize,
    /// Distinct peers of the policies that select pods of the node.
    pub peer_sets: usize,
    /// Subject classes of the node.
    pub subjects: usize,
    /// Entries of all indexes.
    pub indexes: usize,
}

/// What a batch has touched so far.
#[derive(Default)]
struct Batch {
    /// The addresses of changed pods, as they stood before.
    addresses: BTreeMap<IpAddr, Standing>,
    /// Classes of the node that may be selected by other policies now.
    classes: BTreeSet<ClassId>,
    /// Classes that lost their last pod; some may have got one again.
    emptied: BTreeSet<ClassId>,
    /// Groups whose policies changed.
    groups: BTreeSet<GroupNumber>,
    /// Peer sets whose classes changed.
    sets: BTreeSet<SetNumber>,
    /// Namespaces that may be unused.
    namespaces: BTreeSet<NamespaceNumber>,
}

impl Engine {
    /// An empty cluster, seen from `node`.
    #[must_use]
    pub fn new(node: &str) -> Self {
        Self {
            population: Population::new(node),
            nodes: BTreeMap::new(),
            groups: Groups::default(),
            sets: PeerSets::default(),
            subjects: Subjects::default(),
        }
    }

    /// An empty engine whose changes also tell what each rule admits by itself: who counts packets for rules
    /// needs that. It costs what the rules of all subject classes have in peers.
    #[must_use]
    pub fn telling_rules(mut self) -> Self {
        self.subjects.with_rules = true;
        self
    }

    /// Takes events over as one change; gives what they change for the node together. An event that says what is known
    /// already changes nothing.
    pub fn apply(&mut self, events: impl IntoIterator<Item = Event>) -> Changes {
        let mut batch = Batch::default();
        for event in events {
            match event {
                Event::Namespace(namespace) => {
                    let name = namespace.name.clone();
                    self.set_namespace(&name, Some(namespace), &mut batch);
                }
                Event::NamespaceGone(name) => self.set_namespace(&name, None, &mut batch),
                Event::Node(node) => {
                    self.nodes.insert(node.name.clone(), node);
                }
                Event::NodeGone(name) => {
                    self.nodes.remove(&name);
                }
                Event::Pod(pod) => {
                    let id = pod.id.clone();
                    self.set_pod(&id, Some(pod), &mut batch);
                }
                Event::PodGone(id) => self.set_pod(&id, None, &mut batch),
                Event::Policy(policy) => {
                    let id = policy.id.clone();
                    self.set_policy(&id, Some(policy), &mut batch);
                }
                Event::PolicyGone(id) => self.set_policy(&id, None, &mut batch),
            }
        }
        self.settle(batch)
    }

    /// How much the engine holds.
    pub fn footprint(&self) -> Footprint {
        let [namespaces, pods, classes, population] = self.population.counts();
        let [policies, groups, selectors] = self.groups.counts();
        let [peer_sets, peers] = self.sets.counts();
        let [subjects, keys] = self.subjects.counts();
        Footprint {
            namespaces,
            nodes: self.nodes.len(),
            pods,
            policies,
            classes,
            groups,
            peer_sets,
            subjects,
            indexes: population + selectors + peers + keys,
        }
    }

    /// The pods on the node that policies speak of, in no particular order. Costs a pass over the classes of pods.
    pub fn local_pods(&self) -> impl Iterator<Item = &Pod> {
        self.population.local_pods().map(AsRef::as_ref)
    }

    /// The cluster as the events left it. Costs a pass over all objects.
    pub fn cluster(&self) -> Cluster {
        let mut cluster = Cluster::default();
        for namespace in self.population.namespaces.iter() {
            cluster.insert_namespace(Namespace {
                name: namespace.name.clone(),
                labels: namespace.labels.clone(),
                mode: namespace.mode,
            });
        }
        for node in self.nodes.values() {
            cluster.insert_node(node.clone());
        }
        for pod in self.population.pods() {
            cluster.insert_pod(Pod::clone(pod));
        }
        for policy in self.groups.policies() {
            cluster.insert_policy(Policy::clone(policy));
        }
        cluster
    }

    fn set_namespace(&mut self, name: &Arc<str>, namespace: Option<Namespace>, batch: &mut Batch) {
        let namespaces = &mut self.population.namespaces;
        let number = match namespace {
            Some(_) => Some(namespaces.define(name)),
            None => namespaces.undefine(name),
        };
        let Some(number) = number else { return };
        batch.namespaces.insert(number);
        let Namespace { labels, mode, .. } = namespace.unwrap_or_default();
        let labels = labels.with(NAMESPACE_NAME_LABEL, name);
        if labels != namespaces.get(number).labels {
            let before = namespaces.relabel(number, &labels);
            let changed = self.sets.relabel(number, &before, &self.population);
            batch.sets.extend(changed);
        }
        let entry = self.population.namespaces.get_mut(number);
        if std::mem::replace(&mut entry.mode, mode) != mode {
            for policy in self.groups.policies_of(number) {
                self.set_policy(&policy.id, Some(Policy::clone(&policy)), batch);
            }
        }
    }

    fn set_pod(&mut self, id: &PodId, pod: Option<Pod>, batch: &mut Batch) {
        let before = self.population.pod(id).cloned();
        if before.as_deref() == pod.as_ref() {
            return;
        }
        for pod in before.as_deref().into_iter().chain(&pod) {
            for &address in pod.addresses.iter().filter(|_| pod.is_selectable()) {
                let standing = batch.addresses.entry(address);
                standing.or_insert_with(|| self.population.standing(address));
            }
        }
        let moved = self.population.set_pod(id, pod);
        batch
            .namespaces
            .extend(self.population.namespaces.number(&id.namespace));
        batch.classes.extend(moved.local);
        batch.emptied.extend(moved.emptied);
        if let Some(class) = moved.created {
            batch
                .sets
                .extend(self.sets.add_class(class, &self.population));
        }
    }

    /// Puts a policy in, replaces it, or takes it out. Its namespace's mode is its own if it states none.
    fn set_policy(&mut self, id: &PolicyId, policy: Option<Policy>, batch: &mut Batch) {
        let mode = self.population.namespaces.mode(&id.namespace);
        let policy = policy.map(|policy| policy.within(mode));
        if self.groups.policy(id).map(AsRef::as_ref) == policy.as_ref() {
            return;
        }
        if let Some(group) = self.groups.remove(id) {
            batch.groups.insert(group);
            let group = self.groups.group(group);
            batch.classes.extend(&group.classes);
            self.population.namespaces.unmention(group.namespace);
            batch.namespaces.insert(group.namespace);
        }
        if let Some(policy) = policy {
            let namespace = self.population.namespaces.mention(&id.namespace);
            let local = &self.population.namespaces.get(namespace).local;
            let labels = |class: &ClassId| &self.population.classes[*class].key.labels;
            let selected = local
                .iter()
                .filter(|class| policy.subjects.matches(labels(class)));
            batch.classes.extend(selected);
            batch.groups.insert(self.groups.insert(policy, namespace));
        }
    }

    /// Brings everything that depends on the touched objects up to date.
    fn settle(&mut self, mut batch: Batch) -> Changes {
        let mut regrouped: BTreeSet<GroupNumber> = batch.groups.clone();
        for &class in &batch.classes {
            regrouped.extend(self.groups.select(class, &self.population));
        }
        batch
            .emptied
            .retain(|&class| self.population.is_emptied(class));
        for &class in &batch.emptied {
            batch.sets.extend(self.sets.remove_class(class));
            self.population.retire(class);
        }
        for &group in &regrouped {
            let has_changed = batch.groups.contains(&group);
            self.groups
                .refresh(group, has_changed, &mut self.sets, &self.population);
        }
        let moves: Moves = batch
            .addresses
            .iter()
            .map(|(&address, before)| {
                (address, (before.clone(), self.population.standing(address)))
            })
            .collect();
        let changes = self.update(&batch, &moves);
        for &class in &batch.emptied {
            self.population.classes.remove(class);
        }
        for &group in &batch.groups {
            self.groups.drop_empty(group);
        }
        for &namespace in &batch.namespaces {
            self.population.namespaces.drop_unused(namespace);
        }
        changes
    }

    fn update(&mut self, batch: &Batch, moves: &Moves) -> Changes {
        let tables = Tables {
            population: &self.population,
            groups: &self.groups,
            sets: &self.sets,
        };
        let mut changes = Changes::default();
        let mut affected = self.subjects.regroup(&batch.classes, tables);
        let mut asking: BTreeSet<GroupNumber> = batch.groups.clone();
        asking.extend(batch.sets.iter().flat_map(|&set| self.sets.users(set)));
        let mut passing: BTreeSet<GroupNumber> = BTreeSet::new();
        for (&address, (before, now)) in moves {
            if before == now {
                continue;
            }
            asking.extend(self.groups.asking_at(address));
            for class in [before.class(), now.class()].into_iter().flatten() {
                passing.extend(self.sets.users_of_class(class));
                affected.peopled.extend(self.subjects.of_class(class));
            }
            let contested = now.contested_here();
            if before.contested_here() != contested {
                changes.contested.insert(address, contested.cloned());
            }
        }
        let subjects_of = |groups: &BTreeSet<GroupNumber>| -> BTreeSet<SubjectId> {
            let classes = groups
                .iter()
                .flat_map(|&group| &self.groups.group(group).classes);
            classes
                .filter_map(|&class| self.subjects.of_class(class))
                .collect()
        };
        affected.remade.extend(subjects_of(&asking));
        affected.passed.extend(subjects_of(&passing));
        self.subjects.update(&affected, moves, tables, &mut changes);
        changes
    }
}
