//! What each rule admits by itself.
//!
//! A minimal graph tells what all policies of a class admit together, and its provenance names every rule that had a part
//! in it. Who counts packets for rules must know for each rule alone whom it admits on which ports: here it is resolved
//! and minimized without the other rules. So a flow is admitted by just the rules whose permissions hold it.

use crate::cluster::{ContainerPort, Pod};
use crate::compile::{distinct, vertex};
use crate::directory::{Directory, Indexed};
use crate::flow::Direction;
use crate::graph::{Peers, RuleGraph};
use crate::ip_set::IpSet;
use crate::minimize::{Listed, MinimalEdge, minimal_edges};
use crate::policy::{Policy, PolicyId};
use crate::port_set::PortSet;
use crate::resolve::{Group, PeerSet, PolicyIndex, PortSetId, Resolver};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A rule, by its policy and its place there. A rule that is put before another one moves that one on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId {
    /// The policy.
    pub policy: PolicyId,
    /// The list that the rule is in.
    pub direction: Direction,
    /// Its position there, counted from 0.
    pub rule: u32,
}

/// `shop/web ingress[0]`, as reasons say it.
impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}[{}]", self.policy, self.direction, self.rule)
    }
}

impl Policy {
    /// The rules that decide about the pods of the policy in `direction`: none where it does not isolate them.
    pub fn rule_ids(&self, direction: Direction) -> impl Iterator<Item = RuleId> {
        let rules = if self.isolates(direction) {
            self.rules(direction)
        } else {
            &[]
        };
        (0..).zip(rules).map(move |(rule, _)| RuleId {
            policy: self.id.clone(),
            direction,
            rule,
        })
    }
}

/// A part of what a rule admits. The parts of one rule have different ports, but one of them may be for everyone; their
/// blocks are disjoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulePermission {
    /// Whether it is for everyone, inside the cluster or not.
    pub everyone: bool,
    /// The ports.
    pub ports: Arc<PortSet>,
    /// Who it is for by `ipBlock`.
    pub blocks: Arc<IpSet>,
    /// Who it is for by label: the addresses that are these pods' alone.
    pub addresses: BTreeSet<IpAddr>,
}

/// The rules of a graph's policies, resolved as they are asked for.
pub struct Rules<'g> {
    graph: &'g RuleGraph,
    resolver: Resolver<'g, Indexed<'g>>,
}

impl RuleGraph {
    /// What each rule of the graph's policies admits by itself, in a minimal graph as in any other.
    pub fn rules(&self) -> Rules<'_> {
        Rules {
            graph: self,
            resolver: Resolver::new(Indexed::new(&self.world.inventory)),
        }
    }
}

impl RuleGraph {
    /// The rules of the policies that isolate the pod in `direction`, without what they admit. None for a pod that is no
    /// subject of the graph.
    pub fn rule_ids(&self, pod: &Pod, direction: Direction) -> Vec<RuleId> {
        let policies = self.policies_of(pod).into_iter();
        let rules =
            policies.flat_map(|policy| self.world.policies[policy as usize].rule_ids(direction));
        rules.collect()
    }

    /// The policies that select the pod. A merged subject class may know policies of other pods.
    fn policies_of(&self, pod: &Pod) -> Vec<PolicyIndex> {
        let world = &self.world;
        let index = world.inventory.pod_index(&pod.id);
        let subject = index.and_then(|pod| self.subject_of_pod(pod));
        let groups = subject.map(|subject| &subject.class().groups);
        let policies = groups
            .into_iter()
            .flatten()
            .flat_map(|&group| &world.groups[group as usize]);
        let selects = |policy: &Policy| {
            policy.id.namespace == pod.id.namespace && policy.subjects.matches(&pod.labels)
        };
        policies
            .copied()
            .filter(|&policy| selects(&world.policies[policy as usize]))
            .collect()
    }
}

impl Rules<'_> {
    /// What each rule of the policies that isolate the pod in `direction` admits; an empty list for one that admits
    /// nobody. Nothing for a pod that is no subject of the graph.
    pub fn of(&mut self, pod: &Pod, direction: Direction) -> BTreeMap<RuleId, Vec<RulePermission>> {
        let world = &self.graph.world;
        let inventory = &world.inventory;
        let index = inventory.pod_index(&pod.id);
        let namespace = inventory.namespace(&pod.id.namespace);
        let (Some(index), Some(namespace)) = (index, namespace) else {
            return BTreeMap::new();
        };
        let ports = &inventory.classes[inventory.class_of[index as usize] as usize].ports;
        let mut rules = BTreeMap::new();
        for number in self.graph.policies_of(pod) {
            let group = Group {
                namespace,
                subjects: &world.policies[number as usize].subjects,
                policies: vec![number],
            };
            let edges = edges(
                &mut self.resolver,
                &group,
                &world.policies,
                direction,
                ports,
            );
            for ((_, id), edges) in edges {
                let permissions = edges.into_iter().map(|edge| self.permission(edge));
                rules.insert(id, permissions.collect());
            }
        }
        rules
    }

    fn permission(&self, edge: MinimalEdge) -> RulePermission {
        let inventory = &self.graph.world.inventory;
        let sets = edge.peers.pods.iter();
        let classes = sets.flat_map(|&set| self.resolver.pod_sets.value(set));
        let pods = classes.flat_map(|&class| &inventory.classes[class as usize].pods);
        RulePermission {
            everyone: edge.peers.everyone,
            ports: edge.ports,
            blocks: edge.peers.blocks.clone(),
            addresses: pods.flat_map(|&pod| inventory.addresses(pod)).collect(),
        }
    }
}

/// What a rule gives: peers, ports, and a number of provenance, which is not looked at.
type Granted = Vec<(PeerSet, PortSetId, u32)>;

/// The minimal edges of each rule of the group's policies, for a subject with these named ports. Their provenance is the
/// rule itself, so they carry none.
pub(crate) fn edges<'a, D: Directory<'a>>(
    resolver: &mut Resolver<'a, D>,
    group: &Group<'a>,
    policies: &'a [Arc<Policy>],
    direction: Direction,
    named_ports: &[ContainerPort],
) -> BTreeMap<(PolicyIndex, RuleId), Vec<MinimalEdge>> {
    let mut granted: BTreeMap<(PolicyIndex, u32), Granted> = BTreeMap::new();
    for grant in resolver.grants(group, policies, direction) {
        let ports = resolver.admitted(grant.ports, named_ports);
        let rule = (grant.source.policy, grant.source.rule);
        granted
            .entry(rule)
            .or_default()
            .push((grant.peers, ports, 0));
    }
    let mut rules = BTreeMap::new();
    for &number in &group.policies {
        for id in policies[number as usize].rule_ids(direction) {
            let mut granted = granted.remove(&(number, id.rule)).unwrap_or_default();
            let distinct = distinct(&mut granted, resolver);
            let peers: Vec<Peers> = distinct
                .iter()
                .map(|edge| vertex(edge.peers, resolver))
                .collect();
            let listed: Vec<Listed> = distinct
                .iter()
                .zip(&peers)
                .map(|(edge, peers)| Listed {
                    peers,
                    ports: &edge.ports,
                    grants: &[],
                })
                .collect();
            let edges = minimal_edges(&listed, direction, &resolver.pod_sets);
            rules.insert((number, id), edges);
        }
    }
    rules
}
