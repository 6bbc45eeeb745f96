//! What the policies of one subject class allow: resolved and minimized by the same code as in a whole graph.

use super::changes::PermissionKey;
use super::groups::Groups;
use super::peer_sets::{PeerSets, SetKey};
use super::population::Population;
use crate::cluster::ContainerPort;
use crate::compile::{DistinctEdge, SubjectKey, admit, distinct, record, vertex};
use crate::directory::{Directory, Scope};
use crate::flow::Direction;
use crate::graph::{Peers, Provenance};
use crate::inventory::ClassId;
use crate::ip_set::IpSet;
use crate::isolation::Isolation;
use crate::minimize::{Listed, MinimalEdge, minimal_edges};
use crate::policy::Policy;
use crate::resolve::{Group, PolicyIndex, PortName, Resolver, Source};
use crate::rules::{self, RuleId};
use crate::selector::Selector;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// The permissions of a subject class, in both directions.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    /// The policies that isolate the class, which the sources of permissions point into.
    pub(super) policies: Vec<Arc<Policy>>,
    pub(super) by_key: BTreeMap<PermissionKey, Permission>,
    /// What each rule of the isolating policies admits by itself, where that is asked for.
    pub(super) rules: BTreeMap<RuleId, BTreeMap<PermissionKey, Permission>>,
}

/// One permission.
#[derive(Debug, Default)]
pub(super) struct Permission {
    pub(super) blocks: Arc<IpSet>,
    /// The sets of classes that it is for.
    pub(super) sets: Vec<Arc<[ClassId]>>,
    /// The classes of all sets, in ascending order.
    pub(super) classes: Vec<ClassId>,
    /// Where it comes from, sorted.
    pub(super) sources: Vec<Source>,
}

impl Permissions {
    /// What the groups of `key` allow, with each rule by itself if that is asked for.
    pub(super) fn new(
        key: &SubjectKey,
        groups: &Groups,
        sets: &PeerSets,
        population: &Population,
        with_rules: bool,
    ) -> Self {
        let mut policies: Vec<Arc<Policy>> = Vec::new();
        let mut parts = Vec::new();
        for &number in &key.groups {
            let group = groups.group(number);
            let start = index(policies.len());
            policies.extend(group.policies.values().cloned());
            parts.push(Group {
                namespace: group.namespace,
                subjects: &group.subjects,
                policies: (start..index(policies.len())).collect(),
            });
        }
        let named_ports = key.named_ports.as_deref().unwrap_or_default();
        let mut resolver = Resolver::new(Live { population, sets });
        let mut by_key = BTreeMap::new();
        let mut rules = BTreeMap::new();
        for direction in Direction::ALL {
            let mut provenance = Provenance::default();
            let mut edges = Vec::new();
            for part in &parts {
                let grants = resolver.grants(part, &policies, direction);
                let grants = record(&grants, &mut provenance);
                admit(&grants, named_ports, &mut resolver, &mut edges);
            }
            let edges = distinct(&mut edges, &resolver);
            by_key.extend(minimal(&edges, direction, &resolver, &provenance));
            for part in parts.iter().filter(|_| with_rules) {
                let edges = rules::edges(&mut resolver, part, &policies, direction, named_ports);
                rules.extend(edges.into_iter().map(|((_, id), edges)| {
                    let edges = edges.into_iter();
                    let permissions = edges.map(|edge| permission(edge, &resolver, &provenance));
                    (id, permissions.collect())
                }));
            }
        }
        Self {
            policies,
            by_key,
            rules,
        }
    }

    /// What the policies make of `direction`.
    pub(super) fn isolation(&self, direction: Direction) -> Isolation {
        Isolation::by(self.policies.iter().map(AsRef::as_ref), direction)
    }

    /// Whether the very same policies isolate the class.
    pub(super) fn is_by_the_same_policies(&self, other: &Self) -> bool {
        let pairs = self.policies.iter().zip(&other.policies);
        self.policies.len() == other.policies.len()
            && pairs
                .into_iter()
                .all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

fn index(position: usize) -> PolicyIndex {
    u32::try_from(position).expect("fewer than 2^32 policies")
}

fn minimal(
    edges: &[DistinctEdge],
    direction: Direction,
    resolver: &Resolver<'_, Live<'_>>,
    provenance: &Provenance,
) -> Vec<(PermissionKey, Permission)> {
    let peers: Vec<Peers> = edges
        .iter()
        .map(|edge| vertex(edge.peers, resolver))
        .collect();
    let listed: Vec<Listed> = edges
        .iter()
        .zip(&peers)
        .map(|(edge, peers)| Listed {
            peers,
            ports: &edge.ports,
            grants: &edge.grants,
        })
        .collect();
    let minimal = minimal_edges(&listed, direction, &resolver.pod_sets);
    let permissions = minimal.into_iter();
    permissions
        .map(|edge| permission(edge, resolver, provenance))
        .collect()
}

fn permission(
    edge: MinimalEdge,
    resolver: &Resolver<'_, Live<'_>>,
    provenance: &Provenance,
) -> (PermissionKey, Permission) {
    let sets = edge.peers.pods.iter();
    let sets: Vec<Arc<[ClassId]>> = sets.map(|&set| resolver.pod_sets.shared(set)).collect();
    let mut classes: Vec<ClassId> = sets.iter().flat_map(|set| set.iter()).copied().collect();
    classes.sort_unstable();
    classes.dedup();
    let grants = edge.grants.iter();
    let sources = grants.flat_map(|&grant| provenance.sources(grant));
    let mut sources: Vec<Source> = sources.copied().collect();
    sources.sort_unstable();
    sources.dedup();
    let permission = Permission {
        blocks: edge.peers.blocks.clone(),
        sets,
        classes,
        sources,
    };
    let key = PermissionKey {
        direction: edge.direction,
        everyone: edge.peers.everyone,
        ports: edge.ports,
    };
    (key, permission)
}

/// The population and the peer sets, as resolution asks for them.
struct Live<'a> {
    population: &'a Population,
    sets: &'a PeerSets,
}

impl<'a> Directory<'a> for Live<'a> {
    fn select(&mut self, scope: Scope<'a>, pods: &'a Selector) -> Vec<ClassId> {
        self.sets.classes(&SetKey::of(scope, pods)).to_vec()
    }

    fn bearers(&self, names: &[PortName]) -> BTreeSet<ClassId> {
        let classes = self.sets.classes(&SetKey::Bearers(names.to_vec()));
        classes.iter().copied().collect()
    }

    fn ports(&self, class: ClassId) -> &[ContainerPort] {
        &self.population.classes[class].key.ports
    }

    fn pods_within(&self, block: &IpSet) -> Vec<(IpAddr, ClassId)> {
        self.population.pods_within(block)
    }
}
