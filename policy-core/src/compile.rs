//! From a cluster to its rule graph, for all pods or for the pods of one node.

use crate::cluster::Cluster;
use crate::flow::Direction;
use crate::graph::{Edge, Peers, RuleGraph, SubjectClass, Tier, Vertex, World};
use crate::inventory::{ClassId, Inventory, PodClass};
use crate::policy::{Policy, PortSpec, Ports, Rule};
use crate::resolve::{Grants, Group, GroupId, PeerSet, PortSetId, Resolver, Source, numbers_of};
use petgraph::graph::{DiGraph, NodeIndex};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
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

    let mut builder = Builder::default();
    let mut granted: FxHashMap<(GroupId, Direction), Vec<ResolvedGrant>> = FxHashMap::default();
    let mut subject_of = vec![None; inventory.classes.len()];
    for (key, classes) in subjects {
        let isolated = |direction| {
            let members = key
                .groups
                .iter()
                .flat_map(|&group| &groups[group as usize].policies);
            members
                .into_iter()
                .any(|&policy| policies[policy as usize].isolates(direction))
        };
        let subject = builder.graph.add_node(Vertex::Subjects(SubjectClass {
            isolated_ingress: isolated(Direction::Ingress),
            isolated_egress: isolated(Direction::Egress),
            groups: key.groups.clone(),
            classes: classes.clone(),
        }));
        for &class in &classes {
            subject_of[class as usize] = Some(subject);
        }
        for direction in Direction::ALL {
            let mut edges: BTreeMap<(PeerSet, PortSetId), Vec<u32>> = BTreeMap::new();
            for &group in &key.groups {
                let grants = granted.entry((group, direction)).or_insert_with(|| {
                    let grants = resolver.grants(&groups[group as usize], &policies, direction);
                    builder.record(grants)
                });
                let ports = &inventory.classes[classes[0] as usize].ports;
                for grant in grants {
                    let admitted = grant.ports(ports, &mut resolver);
                    if !resolver.port_sets.value(admitted).is_empty() {
                        edges
                            .entry((grant.peers.clone(), admitted))
                            .or_default()
                            .push(grant.number);
                    }
                }
            }
            for ((peers, ports), grants) in edges {
                let ports = resolver.port_sets.shared(ports);
                builder.connect(
                    subject,
                    peers.into(),
                    Edge {
                        direction,
                        tier: Tier::NetworkPolicy,
                        ports,
                        grants,
                    },
                );
            }
        }
    }
    let groups = groups.into_iter().map(|group| group.policies).collect();
    let pod_sets = std::mem::take(&mut resolver.pod_sets);
    drop(resolver);
    let world = World {
        inventory,
        policies,
        groups,
        pod_sets,
        grants: builder.grants,
    };
    RuleGraph {
        graph: builder.graph,
        subject_of,
        world: Arc::new(world),
        is_minimal: false,
    }
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
    groups: BTreeSet<GroupId>,
    /// The class's named ports, where an ingress rule asks for them.
    named_ports: Option<Vec<crate::cluster::ContainerPort>>,
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
            groups: groups.iter().copied().collect(),
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
struct ResolvedGrant {
    peers: PeerSet,
    numbers: PortSetId,
    names: Arc<[crate::resolve::PortName]>,
    number: u32,
}

impl ResolvedGrant {
    /// The grant's ports for a subject that has these named ports.
    fn ports(&self, ports: &[crate::cluster::ContainerPort], resolver: &mut Resolver) -> PortSetId {
        if self.names.is_empty() {
            return self.numbers;
        }
        let named = numbers_of(&self.names, ports);
        let all = resolver.port_sets.value(self.numbers).union(&named);
        resolver.port_sets.intern(all)
    }
}

/// The graph as it grows.
#[derive(Default)]
struct Builder {
    graph: DiGraph<Vertex, Edge>,
    peers: FxHashMap<Peers, NodeIndex>,
    grants: Vec<Vec<Source>>,
}

impl Builder {
    fn record(&mut self, grants: Grants) -> Vec<ResolvedGrant> {
        let mut resolved = Vec::with_capacity(grants.len());
        for ((peers, ports), sources) in grants {
            let number = u32::try_from(self.grants.len()).expect("fewer than 2^32 grants");
            self.grants.push(sources);
            resolved.push(ResolvedGrant {
                peers,
                numbers: ports.numbers,
                names: ports.names,
                number,
            });
        }
        resolved
    }

    fn connect(&mut self, subject: NodeIndex, peers: Peers, edge: Edge) {
        let graph = &mut self.graph;
        let other = *self
            .peers
            .entry(peers)
            .or_insert_with_key(|peers| graph.add_node(Vertex::Peers(peers.clone())));
        match edge.direction {
            Direction::Ingress => graph.add_edge(other, subject, edge),
            Direction::Egress => graph.add_edge(subject, other, edge),
        };
    }
}

impl From<PeerSet> for Peers {
    fn from(peers: PeerSet) -> Self {
        match peers {
            PeerSet::Everyone => Self {
                everyone: true,
                ..Self::default()
            },
            PeerSet::Pods(set) => Self {
                pods: vec![set],
                ..Self::default()
            },
            PeerSet::Block(blocks) => Self {
                blocks,
                ..Self::default()
            },
        }
    }
}
