//! From a cluster to its rule graph, for all pods or for the pods of one node.

use crate::cluster::{Cluster, ContainerPort};
use crate::directory::{Directory, Indexed};
use crate::flow::Direction;
use crate::graph::{Edge, Peers, Provenance, RuleGraph, SubjectClass, Tier, Vertex, World};
use crate::inventory::{ClassId, Inventory, PodClass};
use crate::isolation::Isolation;
use crate::policy::{Policy, PortSpec, Ports, Rule};
use crate::port_set::PortSet;
use crate::resolve::{self, Grant, GrantedPorts, Group, GroupId, PeerSet, PortSetId, Resolver};
use petgraph::graph::{DiGraph, NodeIndex};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

impl RuleGraph {
    /// The graph of every pod. One edge for each distinct grant of each subject class; see
    /// [`minimize`](RuleGraph::minimize).
    #[must_use]
    pub fn compile(cluster: &Cluster) -> Self {
        build(cluster, |_, _| true)
    }

    /// The graph in which only the pods of `node` are subjects: what one node has to enforce. Its cost follows that
    /// node's pods and the policies that select them, beside one pass over all pods' labels.
    ///
    /// Pods elsewhere are peers alone: [`evaluate`](RuleGraph::evaluate) takes their own side as not isolated.
    #[must_use]
    pub fn compile_node(cluster: &Cluster, node: &str) -> Self {
        build(cluster, |inventory, class| {
            let is_local = |&pod: &u32| inventory.pods[pod as usize].node.as_deref() == Some(node);
            class.pods.iter().any(is_local)
        })
    }
}

fn build(cluster: &Cluster, in_scope: impl Fn(&Inventory, &PodClass) -> bool) -> RuleGraph {
    let inventory = Inventory::new(cluster);
    let policies: Vec<Arc<Policy>> = cluster.policies().values().cloned().collect();
    let mut resolver = Resolver::new(Indexed::new(&inventory));
    let groups = resolve::groups(&inventory, &policies);

    let wanted: Vec<bool> = inventory
        .classes
        .iter()
        .map(|class| in_scope(&inventory, class))
        .collect();
    let selected = selected_by(&groups, &resolver.directory, &wanted);
    let subjects = subject_classes(&selected, &groups, &policies, &inventory);

    let mut builder = Builder::new(inventory.classes.len());
    let mut granted: FxHashMap<(GroupId, Direction), Vec<RecordedGrant>> = FxHashMap::default();
    for (key, classes) in subjects {
        let ports = &inventory.classes[classes[0] as usize].ports;
        let subject = builder.subject(&key, classes, &groups, &policies);
        for direction in Direction::ALL {
            let mut edges: Vec<(PeerSet, PortSetId, u32)> = Vec::new();
            for &group in &key.groups {
                let grants = granted.entry((group, direction)).or_insert_with(|| {
                    let grants = resolver.grants(&groups[group as usize], &policies, direction);
                    record(&grants, &mut builder.provenance)
                });
                admit(grants, ports, &mut resolver, &mut edges);
            }
            for edge in distinct(&mut edges, &resolver) {
                builder.connect(subject, direction, edge, &resolver);
            }
        }
    }
    let groups = groups.into_iter().map(|group| group.policies).collect();
    let pod_sets = std::mem::take(&mut resolver.pod_sets);
    drop(resolver);
    builder.finish(|provenance| World {
        inventory,
        policies,
        groups,
        pod_sets,
        provenance,
    })
}

/// For each class in scope, the groups that select it, in ascending order.
fn selected_by(groups: &[Group], directory: &Indexed, wanted: &[bool]) -> Vec<Vec<GroupId>> {
    let mut selected: Vec<Vec<GroupId>> = vec![Vec::new(); wanted.len()];
    for (number, group) in (0..).zip(groups) {
        for class in directory.subjects(group) {
            if wanted[class as usize] {
                selected[class as usize].push(number);
            }
        }
    }
    selected
}

/// What makes classes the same subject class.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SubjectKey {
    pub(crate) groups: Vec<GroupId>,
    /// The class's named ports, where an ingress rule asks for them.
    pub(crate) named_ports: Option<Vec<ContainerPort>>,
}

fn subject_classes(
    selected: &[Vec<GroupId>],
    groups: &[Group],
    policies: &[Arc<Policy>],
    inventory: &Inventory,
) -> BTreeMap<SubjectKey, Vec<ClassId>> {
    let asks_for_names: Vec<bool> = groups
        .iter()
        .map(|group| {
            group
                .policies
                .iter()
                .any(|&policy| has_named_ingress(&policies[policy as usize]))
        })
        .collect();
    let mut subjects: BTreeMap<SubjectKey, Vec<ClassId>> = BTreeMap::new();
    for (class, groups) in (0..).zip(selected) {
        if groups.is_empty() {
            continue;
        }
        let asked = groups.iter().any(|&group| asks_for_names[group as usize]);
        let named_ports = asked.then(|| inventory.classes[class as usize].ports.clone());
        let key = SubjectKey {
            groups: groups.clone(),
            named_ports,
        };
        subjects.entry(key).or_default().push(class);
    }
    subjects
}

/// Whether a rule of ingress means ports by name.
pub(crate) fn has_named_ingress(policy: &Policy) -> bool {
    policy.ingress.iter().any(|rule| match rule {
        Rule::Allow {
            ports: Ports::Listed(list),
            ..
        } => list.iter().any(|port| matches!(port, PortSpec::Named(..))),
        _ => false,
    })
}

/// A group's grant, with its number in the table of provenance.
pub(crate) struct RecordedGrant {
    peers: PeerSet,
    ports: GrantedPorts,
    number: u32,
}

/// An edge of a subject: peers and ports that no other of its edges has together.
pub(crate) struct DistinctEdge {
    pub(crate) peers: PeerSet,
    pub(crate) ports: Arc<PortSet>,
    pub(crate) grants: Vec<u32>,
}

/// Takes a group's sorted grants down, equal ones as one.
pub(crate) fn record(grants: &[Grant], provenance: &mut Provenance) -> Vec<RecordedGrant> {
    let equal = |one: &Grant, next: &Grant| (one.peers, one.ports) == (next.peers, next.ports);
    let distinct = grants.chunk_by(equal).map(|grants| RecordedGrant {
        peers: grants[0].peers,
        ports: grants[0].ports,
        number: provenance.record(grants.iter().map(|grant| grant.source)),
    });
    distinct.collect()
}

/// Adds what a group's grants are for a subject with these named ports.
pub(crate) fn admit<'a, D: Directory<'a>>(
    grants: &[RecordedGrant],
    named_ports: &[ContainerPort],
    resolver: &mut Resolver<'a, D>,
    edges: &mut Vec<(PeerSet, PortSetId, u32)>,
) {
    edges.extend(grants.iter().map(|grant| {
        let ports = resolver.admitted(grant.ports, named_ports);
        (grant.peers, ports, grant.number)
    }));
}

/// The edges of a subject in one direction: equal peers and ports are one edge, and none is without ports.
pub(crate) fn distinct<'a, D: Directory<'a>>(
    edges: &mut Vec<(PeerSet, PortSetId, u32)>,
    resolver: &Resolver<'a, D>,
) -> Vec<DistinctEdge> {
    edges.retain(|&(_, ports, _)| !resolver.port_sets.value(ports).is_empty());
    edges.sort_unstable();
    let equal = edges.chunk_by(|one, next| (one.0, one.1) == (next.0, next.1));
    let distinct = equal.map(|same| DistinctEdge {
        peers: same[0].0,
        ports: resolver.port_sets.shared(same[0].1),
        grants: same.iter().map(|&(_, _, grant)| grant).collect(),
    });
    distinct.collect()
}

/// The graph as it grows.
struct Builder {
    graph: DiGraph<Vertex, Edge>,
    subject_of: Vec<Option<NodeIndex>>,
    peers: FxHashMap<PeerSet, NodeIndex>,
    provenance: Provenance,
}

impl Builder {
    fn new(classes: usize) -> Self {
        Self {
            graph: DiGraph::new(),
            subject_of: vec![None; classes],
            peers: FxHashMap::default(),
            provenance: Provenance::default(),
        }
    }

    fn subject(
        &mut self,
        key: &SubjectKey,
        classes: Vec<ClassId>,
        groups: &[Group],
        policies: &[Arc<Policy>],
    ) -> NodeIndex {
        let isolation = |direction| {
            let selecting = key.groups.iter();
            let policies = selecting
                .flat_map(|&group| &groups[group as usize].policies)
                .map(|&policy| policies[policy as usize].as_ref());
            Isolation::by(policies, direction)
        };
        let vertex = NodeIndex::new(self.graph.node_count());
        for &class in &classes {
            self.subject_of[class as usize] = Some(vertex);
        }
        self.graph.add_node(Vertex::Subjects(SubjectClass {
            ingress: isolation(Direction::Ingress),
            egress: isolation(Direction::Egress),
            groups: key.groups.clone(),
            classes,
        }))
    }

    /// Adds an edge of one subject in one direction.
    fn connect<'a, D: Directory<'a>>(
        &mut self,
        subject: NodeIndex,
        direction: Direction,
        edge: DistinctEdge,
        resolver: &Resolver<'a, D>,
    ) {
        let graph = &mut self.graph;
        let peers = self.peers.entry(edge.peers);
        let other =
            *peers.or_insert_with(|| graph.add_node(Vertex::Peers(vertex(edge.peers, resolver))));
        let weight = Edge {
            direction,
            tier: Tier::NetworkPolicy,
            ports: edge.ports,
            grants: edge.grants,
        };
        match direction {
            Direction::Ingress => graph.add_edge(other, subject, weight),
            Direction::Egress => graph.add_edge(subject, other, weight),
        };
    }

    fn finish(self, world: impl FnOnce(Provenance) -> World) -> RuleGraph {
        RuleGraph {
            graph: self.graph,
            subject_of: self.subject_of,
            world: Arc::new(world(self.provenance)),
            is_minimal: false,
        }
    }
}

pub(crate) fn vertex<'a, D: Directory<'a>>(peers: PeerSet, resolver: &Resolver<'a, D>) -> Peers {
    match peers {
        PeerSet::Everyone => Peers {
            everyone: true,
            ..Peers::default()
        },
        PeerSet::Pods(set) => Peers {
            pods: vec![set],
            ..Peers::default()
        },
        PeerSet::Block(block) => Peers {
            blocks: resolver.blocks.shared(block),
            ..Peers::default()
        },
    }
}
