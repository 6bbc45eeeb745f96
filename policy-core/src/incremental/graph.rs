//! The engine's state as a rule graph: for a first load, for questions, and for comparing it with a compiled one.

use super::Engine;
use super::peer_sets::GroupNumber;
use super::subjects::Subject;
use crate::flow::Direction;
use crate::graph::{Peers, Provenance, RuleGraph, SubjectClass, World};
use crate::intern::Interner;
use crate::inventory::{ClassId, Inventory};
use crate::minimize::MinimalEdge;
use crate::policy::{Policy, PolicyId};
use crate::resolve::{PolicyIndex, Source};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Engine {
    /// The node's minimal graph: what [`RuleGraph::compile_node`] and [`RuleGraph::minimize`] make of
    /// [`cluster`](Self::cluster), byte for byte. Its permissions are the engine's own; only the tables of pods and
    /// addresses are made anew, which costs a pass over all pods.
    #[must_use]
    pub fn graph(&self) -> RuleGraph {
        let cluster = self.cluster();
        let policies: Vec<Arc<Policy>> = cluster.policies().values().cloned().collect();
        let mut translation = Translation {
            inventory: Inventory::new(&cluster),
            policies: (0..)
                .zip(&policies)
                .map(|(index, policy)| (policy.id.clone(), index))
                .collect(),
            classes: FxHashMap::default(),
            pod_sets: Interner::default(),
            provenance: Provenance::default(),
        };
        let mut subjects: Vec<&Subject> = self.subjects.iter().collect();
        let groups = self.groups_in_order(&subjects);
        let place: BTreeMap<GroupNumber, u32> = groups.iter().copied().zip(0..).collect();
        let places = |subject: &Subject| -> Vec<u32> {
            let mut places: Vec<u32> = subject
                .key
                .groups
                .iter()
                .map(|group| place[group])
                .collect();
            places.sort_unstable();
            places
        };
        subjects.sort_by_cached_key(|subject| (places(subject), subject.key.named_ports.clone()));
        let minimal: Vec<(SubjectClass, Vec<MinimalEdge>)> = subjects
            .into_iter()
            .map(|subject| {
                let class = SubjectClass {
                    classes: translation.classes(self, subject.classes.iter().copied()),
                    groups: places(subject),
                    ingress: subject.permissions.isolation(Direction::Ingress),
                    egress: subject.permissions.isolation(Direction::Egress),
                };
                (class, translation.edges(self, subject))
            })
            .collect();
        let members = |&group: &GroupNumber| {
            let policies = self.groups.group(group).policies.keys();
            policies.map(|id| translation.policies[id]).collect()
        };
        let groups = groups.iter().map(members).collect();
        let world = World {
            inventory: translation.inventory,
            policies,
            groups,
            pod_sets: translation.pod_sets,
            provenance: translation.provenance,
        };
        RuleGraph::of_minimal(minimal.into_iter(), Arc::new(world))
    }

    /// The groups of these subjects, in the order of their first policy.
    fn groups_in_order(&self, subjects: &[&Subject]) -> Vec<GroupNumber> {
        let numbers = subjects.iter().flat_map(|subject| &subject.key.groups);
        let numbers: BTreeSet<GroupNumber> = numbers.copied().collect();
        let mut numbers: Vec<GroupNumber> = numbers.into_iter().collect();
        numbers.sort_by_key(|&number| self.groups.group(number).policies.keys().next());
        numbers
    }
}

/// From the engine's numbers to those of a graph's tables.
struct Translation {
    inventory: Inventory,
    policies: BTreeMap<PolicyId, PolicyIndex>,
    classes: FxHashMap<ClassId, ClassId>,
    pod_sets: Interner<[ClassId]>,
    provenance: Provenance,
}

impl Translation {
    fn classes(&mut self, engine: &Engine, classes: impl Iterator<Item = ClassId>) -> Vec<ClassId> {
        let mut translated: Vec<ClassId> = classes
            .filter_map(|class| self.class(engine, class))
            .collect();
        translated.sort_unstable();
        translated
    }

    fn class(&mut self, engine: &Engine, class: ClassId) -> Option<ClassId> {
        if let Some(&known) = self.classes.get(&class) {
            return Some(known);
        }
        let pod = engine.population.representative(class)?;
        let index = self.inventory.pod_index(&pod.id)?;
        let found = self.inventory.class_of[index as usize];
        self.classes.insert(class, found);
        Some(found)
    }

    fn edges(&mut self, engine: &Engine, subject: &Subject) -> Vec<MinimalEdge> {
        let permissions = &subject.permissions;
        let edges = permissions.by_key.iter().map(|(key, permission)| {
            let mut pods: Vec<u32> = permission
                .sets
                .iter()
                .map(|set| {
                    let classes = self.classes(engine, set.iter().copied());
                    self.pod_sets.intern(classes)
                })
                .collect();
            pods.sort_unstable();
            let sources = permission.sources.iter().map(|source| Source {
                policy: self.policies[&permissions.policies[source.policy as usize].id],
                ..*source
            });
            MinimalEdge {
                direction: key.direction,
                peers: Peers {
                    everyone: key.everyone,
                    pods,
                    blocks: permission.blocks.clone(),
                },
                ports: key.ports.clone(),
                grants: BTreeSet::from([self.provenance.record(sources)]),
            }
        });
        edges.collect()
    }
}
