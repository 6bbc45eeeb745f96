//! From a cluster to its rule graph, for all pods or for the pods of one node.

use crate::cluster::{Cluster, ContainerPort};
use crate::flow::Direction;
use crate::graph::{Edge, Peers, Provenance, RuleGraph, SubjectClass, Tier, Vertex, World};
use crate::inventory::{ClassId, Inventory, PodClass};
use crate::policy::{Policy, PortSpec, Ports, Rule};
use crate::resolve::{Grant, GrantedPorts, Group, GroupId, PeerSet, PortSetId, Resolver};
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
    let mut resolver = Resolver::new(&inventory);
    let groups = resolver.groups(&policies);

    let wanted: Vec<bool> = inventory
        .classes
        .iter()
        .map(|class| in_scope(&inventory, class))
        .collect();
    let selected = selected_by(&groups, &resolver, &wanted);
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
                    builder.record(&grants)
                });
                let admitted = grants.iter().map(|grant| {
                    (
                        grant.peers,
                        resolver.admitted(grant.ports, ports),
                        grant.number,
                    )
                });
                edges.extend(admitted);
            }
            edges.retain(|&(_, ports, _)| !resolver.port_sets.value(ports).is_empty());
            edges.sort_unstable();
            builder.connect(subject, direction, &edges, &resolver);
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
fn selected_by(groups: &[Group], resolver: &Resolver, wanted: &[bool]) -> Vec<Vec<GroupId>> {
    let mut selected: Vec<Vec<GroupId>> = vec![Vec::new(); wanted.len()];
    for (number, group) in (0..).zip(groups) {
        for class in resolver.subjects(group) {
            if wanted[class as usize] {
                selected[class as usize].push(number);
            }
        }
    }
    selected
}

/// What makes classes the same subject class.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct SubjectKey {
    groups: Vec<GroupId>,
    /// The class's named ports, where an ingress rule asks for them.
    named_ports: Option<Vec<ContainerPort>>,
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

fn has_named_ingress(policy: &Policy) -> bool {
    policy.ingress.iter().any(|rule| match rule {
        Rule::Allow {
            ports: Ports::Listed(list),
            ..
        } => list.iter().any(|port| matches!(port, PortSpec::Named(..))),
        _ => false,
    })
}

/// A group's grant, with its number in the table of provenance.
struct RecordedGrant {
    peers: PeerSet,
    ports: GrantedPorts,
    number: u32,
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
        let isolated = |direction| {
            let isolates = |&policy: &u32| policies[policy as usize].isolates(direction);
            key.groups
                .iter()
                .any(|&group| groups[group as usize].policies.iter().any(isolates))
        };
        let vertex = NodeIndex::new(self.graph.node_count());
        for &class in &classes {
            self.subject_of[class as usize] = Some(vertex);
        }
        self.graph.add_node(Vertex::Subjects(SubjectClass {
            isolated_ingress: isolated(Direction::Ingress),
            isolated_egress: isolated(Direction::Egress),
            groups: key.groups.clone(),
            classes,
        }))
    }

    /// Takes a group's sorted grants down, equal ones as one.
    fn record(&mut self, grants: &[Grant]) -> Vec<RecordedGrant> {
        let equal = |one: &Grant, next: &Grant| (one.peers, one.ports) == (next.peers, next.ports);
        let distinct = grants.chunk_by(equal).map(|grants| RecordedGrant {
            peers: grants[0].peers,
            ports: grants[0].ports,
            number: self
                .provenance
                .record(grants.iter().map(|grant| grant.source)),
        });
        distinct.collect()
    }

    /// Adds the edges of one subject in one direction: sorted peers, ports and grants; equal peers and ports are one
    /// edge.
    fn connect(
        &mut self,
        subject: NodeIndex,
        direction: Direction,
        edges: &[(PeerSet, PortSetId, u32)],
        resolver: &Resolver,
    ) {
        for same in edges.chunk_by(|one, next| (one.0, one.1) == (next.0, next.1)) {
            let (peers, ports, _) = same[0];
            let graph = &mut self.graph;
            let other = *self
                .peers
                .entry(peers)
                .or_insert_with(|| graph.add_node(Vertex::Peers(vertex(peers, resolver))));
            let edge = Edge {
                direction,
                tier: Tier::NetworkPolicy,
                ports: resolver.port_sets.shared(ports),
                grants: same.iter().map(|&(_, _, grant)| grant).collect(),
            };
            match direction {
                Direction::Ingress => graph.add_edge(other, subject, edge),
                Direction::Egress => graph.add_edge(subject, other, edge),
            };
        }
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

fn vertex(peers: PeerSet, resolver: &Resolver) -> Peers {
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
