//! The rule graph: who is isolated, which peers may reach them or be reached, on which ports, and because of what.
//!
//! Its vertices are *subject classes* (pods with the same isolating policies and the same resolved named ports) and
//! *peer sets*; an edge runs the way the traffic does and carries an exact port set and its provenance. Pods that no
//! policy isolates have no vertex. The graph never lists pairs of pods.

use crate::cluster::Pod;
use crate::flow::Direction;
use crate::intern::Interner;
use crate::inventory::{ClassId, Inventory, Owner, PodIndex};
use crate::ip_set::IpSet;
use crate::isolation::Isolation;
use crate::policy::{Policy, PolicyId};
use crate::port_set::PortSet;
use crate::resolve::{GroupId, PodSetId, PolicyIndex, Source};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// What all policies of a cluster mean.
#[derive(Debug, Clone)]
pub struct RuleGraph {
    pub(crate) graph: DiGraph<Vertex, Edge>,
    /// For each class, its subject vertex; `None` for classes that no policy selects, or that are out of scope.
    pub(crate) subject_of: Vec<Option<NodeIndex>>,
    pub(crate) world: Arc<World>,
    pub(crate) is_minimal: bool,
}

/// The tables that vertices and edges point into.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) inventory: Inventory,
    pub(crate) policies: Vec<Arc<Policy>>,
    /// For each group, its policies.
    pub(crate) groups: Vec<Vec<PolicyIndex>>,
    pub(crate) pod_sets: Interner<[ClassId]>,
    pub(crate) provenance: Provenance,
}

/// For each grant, where it comes from.
#[derive(Debug, Default)]
pub(crate) struct Provenance {
    sources: Vec<Source>,
    /// Where each grant's sources end.
    ends: Vec<u32>,
}

impl Provenance {
    /// Takes down where a grant comes from; gives the grant's number.
    pub(crate) fn record(&mut self, sources: impl Iterator<Item = Source>) -> u32 {
        let number = self.ends.len();
        self.sources.extend(sources);
        self.ends
            .push(u32::try_from(self.sources.len()).expect("fewer than 2^32 sources"));
        u32::try_from(number).expect("fewer than 2^32 grants")
    }

    /// Where a grant comes from.
    pub(crate) fn sources(&self, grant: u32) -> &[Source] {
        let grant = grant as usize;
        let start = if grant == 0 { 0 } else { self.ends[grant - 1] };
        &self.sources[start as usize..self.ends[grant] as usize]
    }
}

/// A vertex of the graph.
#[derive(Debug, Clone)]
pub(crate) enum Vertex {
    Subjects(SubjectClass),
    Peers(Peers),
}

/// Pods that the same policies isolate, and whose named ports these policies resolve alike.
#[derive(Debug, Clone)]
pub(crate) struct SubjectClass {
    pub(crate) classes: Vec<ClassId>,
    /// The groups of policies that select pods of the class, in ascending order.
    pub(crate) groups: Vec<GroupId>,
    pub(crate) ingress: Isolation,
    pub(crate) egress: Isolation,
}

impl SubjectClass {
    pub(crate) fn isolation(&self, direction: Direction) -> Isolation {
        match direction {
            Direction::Ingress => self.ingress,
            Direction::Egress => self.egress,
        }
    }
}

/// The other end of a subject's traffic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Peers {
    /// Everyone, inside the cluster or not.
    pub(crate) everyone: bool,
    /// Sets of pod classes, sorted.
    pub(crate) pods: Vec<PodSetId>,
    /// Addresses.
    pub(crate) blocks: Arc<IpSet>,
}

/// The tier that an edge belongs to, in the order of evaluation (semantics, rule 27). Only NetworkPolicy edges exist
/// so far; they are additive, while the other two tiers' edges decide by rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Cluster-wide rules that come first: the lowest rank that matches decides.
    Admin(Ranked),
    /// NetworkPolicies: whatever any of them allows.
    NetworkPolicy,
    /// Cluster-wide rules for pods that no NetworkPolicy isolates.
    Baseline(Ranked),
}

/// A rule that decides by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ranked {
    /// The place, counted over the whole tier; lower ones come first.
    pub rank: u32,
    /// What it decides.
    pub action: Action,
}

/// What a rule of the Admin or Baseline tier decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The flow passes this direction.
    Accept,
    /// The flow does not pass.
    Deny,
    /// The tier says nothing further.
    Pass,
}

/// One permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) direction: Direction,
    pub(crate) tier: Tier,
    pub(crate) ports: Arc<PortSet>,
    /// The grants that this edge comes from: all that admit any flow of it, and perhaps others.
    pub(crate) grants: Vec<u32>,
}

/// A subject class of a graph.
#[derive(Clone, Copy)]
pub struct Subject<'g> {
    graph: &'g RuleGraph,
    index: NodeIndex,
}

/// An edge of a graph, seen from its subject class.
#[derive(Clone, Copy)]
pub struct Permission<'g> {
    world: &'g World,
    pub(crate) peers: &'g Peers,
    pub(crate) edge: &'g Edge,
}

impl RuleGraph {
    /// The subject classes, in canonical order.
    pub fn subjects(&self) -> impl Iterator<Item = Subject<'_>> {
        let subjects = self
            .graph
            .node_indices()
            .filter(|&index| matches!(self.graph[index], Vertex::Subjects(_)));
        subjects.map(|index| Subject { graph: self, index })
    }

    /// The number of edges.
    pub fn edge_count(&self) -> usize {
        self.graph.edge_count()
    }

    /// The addresses that are this pod's alone (none that another live pod claims too). Empty for a pod that is
    /// neither subject nor peer.
    pub fn addresses(&self, pod: &Pod) -> Vec<IpAddr> {
        let owned = |address: &&IpAddr| match self.world.inventory.owner(**address) {
            Owner::Pod(owner) => self.world.inventory.pods[owner as usize].id == pod.id,
            Owner::Contested(_) | Owner::NoPod => false,
        };
        pod.addresses.iter().filter(owned).copied().collect()
    }

    /// The addresses that several live pods claim, each with its claimants.
    pub fn contested(&self) -> impl Iterator<Item = (IpAddr, Vec<&Pod>)> {
        let pods = &self.world.inventory.pods;
        self.world
            .inventory
            .contested()
            .iter()
            .map(|(&address, claimants)| {
                (
                    address,
                    claimants
                        .iter()
                        .map(|&pod| pods[pod as usize].as_ref())
                        .collect(),
                )
            })
    }

    /// The subject class at a vertex.
    pub(crate) fn subject(&self, index: NodeIndex) -> Subject<'_> {
        Subject { graph: self, index }
    }

    /// The peers that edges come from or go to.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &Peers> {
        self.graph.node_weights().filter_map(|vertex| match vertex {
            Vertex::Peers(peers) => Some(peers),
            Vertex::Subjects(_) => None,
        })
    }

    pub(crate) fn subject_of_pod(&self, pod: PodIndex) -> Option<Subject<'_>> {
        let class = self.world.inventory.class_of[pod as usize];
        let index = self.subject_of[class as usize]?;
        Some(Subject { graph: self, index })
    }
}

impl<'g> Subject<'g> {
    /// The pods of the class, sorted by identity.
    pub fn pods(&self) -> Vec<&'g Pod> {
        let inventory = &self.graph.world.inventory;
        let classes = self
            .class()
            .classes
            .iter()
            .map(|&class| &inventory.classes[class as usize]);
        let mut indices: Vec<PodIndex> = classes.flat_map(|class| &class.pods).copied().collect();
        indices.sort_unstable();
        indices
            .into_iter()
            .map(|pod| inventory.pods[pod as usize].as_ref())
            .collect()
    }

    /// What the policies make of `direction`.
    pub fn isolation(&self, direction: Direction) -> Isolation {
        self.class().isolation(direction)
    }

    /// Whether any policy isolates the class in `direction`, enforced or audited.
    pub fn is_isolated(&self, direction: Direction) -> bool {
        self.isolation(direction) != Isolation::None
    }

    /// The policies that isolate pods of the class in `direction`, sorted. In a minimized graph a class can hold pods
    /// of several namespaces; [`RuleGraph::isolating`] tells the policies of one pod.
    pub fn policies(&self, direction: Direction) -> BTreeSet<&'g PolicyId> {
        let world = &self.graph.world;
        let groups = self
            .class()
            .groups
            .iter()
            .flat_map(|&group| &world.groups[group as usize]);
        let policies = groups.map(|&policy| world.policies[policy as usize].as_ref());
        policies
            .filter(|policy| policy.isolates(direction))
            .map(|policy| &policy.id)
            .collect()
    }

    /// What the NetworkPolicies allow in `direction`, in canonical order. Nothing for a direction that is not
    /// isolated, where everything passes; where it is audited, what would pass.
    pub fn permissions(&self, direction: Direction) -> Vec<Permission<'g>> {
        let all = self.edges(direction);
        all.into_iter()
            .filter(|permission| permission.edge.tier == Tier::NetworkPolicy)
            .collect()
    }

    /// The edges of every tier in `direction`, in canonical order.
    pub(crate) fn edges(&self, direction: Direction) -> Vec<Permission<'g>> {
        let traffic = match direction {
            Direction::Ingress => petgraph::Direction::Incoming,
            Direction::Egress => petgraph::Direction::Outgoing,
        };
        let graph: &'g RuleGraph = self.graph;
        let mut edges: Vec<Permission<'g>> = graph
            .graph
            .edges_directed(self.index, traffic)
            .filter_map(|edge| {
                let other = if edge.source() == self.index {
                    edge.target()
                } else {
                    edge.source()
                };
                let Vertex::Peers(peers) = &graph.graph[other] else {
                    return None;
                };
                Some(Permission {
                    world: &graph.world,
                    peers,
                    edge: edge.weight(),
                })
            })
            .collect();
        edges.sort_by(|left, right| left.key().cmp(&right.key()));
        edges
    }

    pub(crate) fn class(&self) -> &'g SubjectClass {
        let graph: &'g RuleGraph = self.graph;
        match &graph.graph[self.index] {
            Vertex::Subjects(class) => class,
            Vertex::Peers(_) => unreachable!("a subject's index is a subject vertex"),
        }
    }
}

impl<'g> Permission<'g> {
    /// Whether it is for everyone, inside the cluster or not.
    pub fn is_for_everyone(&self) -> bool {
        self.peers.everyone
    }

    /// The addresses that it is for by `ipBlock`.
    pub fn blocks(&self) -> &'g IpSet {
        &self.peers.blocks
    }

    /// The pods that it is for by label, with the addresses that are theirs alone.
    pub fn pods(&self) -> impl Iterator<Item = (&'g Pod, impl Iterator<Item = IpAddr> + 'g)> {
        let inventory = &self.world.inventory;
        self.classes().into_iter().flat_map(move |class| {
            inventory.classes[class as usize]
                .pods
                .iter()
                .map(move |&pod| {
                    (
                        inventory.pods[pod as usize].as_ref(),
                        inventory.addresses(pod),
                    )
                })
        })
    }

    /// The ports that it admits.
    pub fn ports(&self) -> &'g PortSet {
        &self.edge.ports
    }

    /// The rules that it comes from, each with its position in its policy's list. In a graph that is not minimized each
    /// of them admits all of it.
    pub fn rules(&self) -> BTreeSet<(&'g PolicyId, u32)> {
        let policies = &self.world.policies;
        self.sources()
            .map(|source| (&policies[source.policy as usize].id, source.rule))
            .collect()
    }

    /// The distinct rules that it comes from: policy, direction and position of the rule.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &'g Source> {
        let world = self.world;
        self.edge
            .grants
            .iter()
            .flat_map(move |&grant| world.provenance.sources(grant))
    }

    /// Whether the class of some pod is among the peers.
    pub(crate) fn has_class(&self, class: ClassId) -> bool {
        let sets = self
            .peers
            .pods
            .iter()
            .map(|&set| self.world.pod_sets.value(set));
        sets.into_iter()
            .any(|set| set.binary_search(&class).is_ok())
    }

    /// The classes among the peers, sorted, each once.
    pub(crate) fn classes(&self) -> Vec<ClassId> {
        let sets = self
            .peers
            .pods
            .iter()
            .map(|&set| self.world.pod_sets.value(set));
        let mut classes: Vec<ClassId> = sets.flatten().copied().collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// Its place in canonical order. In a minimal graph the ports alone decide it, and not the numbers that sets have.
    fn key(&self) -> (Tier, bool, &'g PortSet, &'g Peers) {
        let is_listed = !self.peers.everyone;
        (self.edge.tier, is_listed, &self.edge.ports, self.peers)
    }
}

impl fmt::Display for RuleGraph {
    /// The whole graph as text: each subject class, whether and by what it is isolated, and its permissions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for subject in self.subjects() {
            let pods: Vec<String> = subject
                .pods()
                .iter()
                .map(|pod| pod.id.to_string())
                .collect();
            writeln!(f, "subjects {}", pods.join(" "))?;
            for direction in Direction::ALL {
                let word = match subject.isolation(direction) {
                    Isolation::None => continue,
                    Isolation::Audited => "audited",
                    Isolation::Enforced => "isolated",
                };
                let policies: Vec<String> = subject
                    .policies(direction)
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                writeln!(f, "  {direction} {word} by {}", policies.join(" "))?;
                for permission in subject.permissions(direction) {
                    writeln!(f, "    {} : {permission}", permission.ports())?;
                }
            }
        }
        for (address, pods) in self.contested() {
            let pods: Vec<String> = pods.iter().map(|pod| pod.id.to_string()).collect();
            writeln!(f, "contested {address} by {}", pods.join(" "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Permission<'_> {
    /// The peers: `everyone`, or pods and blocks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_for_everyone() {
            return f.write_str("everyone");
        }
        let pods = self.pods().map(|(pod, _)| pod.id.to_string());
        let blocks = self
            .blocks()
            .cidrs()
            .into_iter()
            .map(|cidr| cidr.to_string());
        f.write_str(&pods.chain(blocks).collect::<Vec<_>>().join(" "))
    }
}
