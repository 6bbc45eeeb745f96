//! Resolves what policies say into who and what it is in this cluster: selectors into sets of pod classes, blocks
//! into addresses, named ports into the numbers that each destination gives them.
//!
//! Policies of one namespace with equal `podSelector`s form a *group*: pods are matched with groups, and a group's
//! grants are resolved once, whatever number of pods it selects. Nothing here is expanded to pairs of pods.

use crate::cluster::ContainerPort;
use crate::flow::{Direction, Protocol};
use crate::intern::Interner;
use crate::inventory::{ClassId, Inventory};
use crate::ip_set::IpSet;
use crate::label_index::LabelIndex;
use crate::policy::{IpBlock, Namespaces, Peer, Peers, Policy, PortSpec, Ports, Rule};
use crate::port_set::PortSet;
use crate::selector::Selector;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// A set of pod classes, by its number in [`Resolver::pod_sets`].
pub(crate) type PodSetId = u32;
/// A port set, by its number in [`Resolver::port_sets`].
pub(crate) type PortSetId = u32;
/// A position in [`Resolver::groups`].
pub(crate) type GroupId = u32;
/// A position in the list of policies.
pub(crate) type PolicyIndex = u32;

/// Who a grant is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PeerSet {
    /// Everyone, inside the cluster or not.
    Everyone,
    /// The pods of these classes.
    Pods(PodSetId),
    /// These addresses.
    Block(Arc<IpSet>),
}

/// The peer of a policy that a grant comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Source {
    pub(crate) policy: PolicyIndex,
    pub(crate) direction: Direction,
    pub(crate) rule: u32,
    /// The entry of `from` or `to`; `None` where the rule lists no peer.
    pub(crate) peer: Option<u32>,
}

/// What the policies of one group give in one direction: each distinct peer set with each distinct port list.
pub(crate) type Grants = BTreeMap<(PeerSet, GrantedPorts), Vec<Source>>;

/// The ports of a grant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GrantedPorts {
    /// The numeric ones.
    pub(crate) numbers: PortSetId,
    /// The named ones, for the subject's own ports. Only ingress grants have any: an egress grant's names are
    /// resolved at once, for each destination.
    pub(crate) names: Arc<[PortName]>,
}

/// A port name, with its protocol.
pub(crate) type PortName = (Protocol, Box<str>);

/// Policies with one `podSelector` in one namespace.
pub(crate) struct Group<'a> {
    pub(crate) namespace: u32,
    pub(crate) subjects: &'a Selector,
    pub(crate) policies: Vec<PolicyIndex>,
}

/// Turns selectors, blocks and ports into numbers that stand for what they mean here.
pub(crate) struct Resolver<'a> {
    inventory: &'a Inventory,
    classes: LabelIndex<'a>,
    namespaces: LabelIndex<'a>,
    pub(crate) pod_sets: Interner<[ClassId]>,
    pub(crate) port_sets: Interner<PortSet>,
    /// For each port name, the classes that give it to a port.
    bearers: FxHashMap<PortName, Vec<ClassId>>,
    peers: FxHashMap<(Scope<'a>, &'a Selector), PodSetId>,
    namespace_lists: FxHashMap<&'a Selector, Arc<[u32]>>,
    blocks: FxHashMap<&'a IpBlock, Arc<IpSet>>,
}

/// The namespaces of a pod peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scope<'a> {
    One(u32),
    Matching(&'a Selector),
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(inventory: &'a Inventory) -> Self {
        Self {
            inventory,
            classes: LabelIndex::new(inventory.classes.iter().map(|class| &class.labels)),
            namespaces: LabelIndex::new(inventory.namespaces.iter().map(|entry| &entry.labels)),
            pod_sets: Interner::default(),
            port_sets: Interner::default(),
            bearers: bearers(inventory),
            peers: FxHashMap::default(),
            namespace_lists: FxHashMap::default(),
            blocks: FxHashMap::default(),
        }
    }

    /// Groups policies, which are sorted by namespace, by namespace and canonical `podSelector`, in the order of their
    /// first policy.
    pub(crate) fn groups(&self, policies: &'a [Arc<Policy>]) -> Vec<Group<'a>> {
        let mut groups: Vec<Group> = Vec::new();
        let mut index: PolicyIndex = 0;
        for policies in policies.chunk_by(|one, next| one.id.namespace == next.id.namespace) {
            let namespace = self.inventory.namespace(&policies[0].id.namespace);
            let namespace = namespace.expect("a policy's namespace is in the inventory");
            let mut numbers: FxHashMap<&Selector, usize> = FxHashMap::default();
            for policy in policies {
                let number = *numbers.entry(&policy.subjects).or_insert_with(|| {
                    let (subjects, policies) = (&policy.subjects, Vec::new());
                    groups.push(Group {
                        namespace,
                        subjects,
                        policies,
                    });
                    groups.len() - 1
                });
                groups[number].policies.push(index);
                index += 1;
            }
        }
        groups
    }

    /// The classes that a group's policies select.
    pub(crate) fn subjects(&self, group: &Group) -> Vec<ClassId> {
        let range = self.inventory.namespaces[group.namespace as usize]
            .classes
            .clone();
        self.classes.select(group.subjects, range)
    }

    /// What a group's policies give in one direction.
    pub(crate) fn grants(
        &mut self,
        group: &Group<'a>,
        policies: &'a [Arc<Policy>],
        direction: Direction,
    ) -> Grants {
        let mut grants = Grants::new();
        for &policy in &group.policies {
            for (rule, written) in (0..).zip(policies[policy as usize].rules(direction)) {
                let Rule::Allow { peers, ports } = written else {
                    continue;
                };
                for (peer, peers, ports) in self.rule(group.namespace, peers, ports, direction) {
                    let source = Source {
                        policy,
                        direction,
                        rule,
                        peer,
                    };
                    grants.entry((peers, ports)).or_default().push(source);
                }
            }
        }
        grants
    }

    /// Each peer of a rule (by its position, if the rule lists any) with the ports that it is given.
    fn rule(
        &mut self,
        namespace: u32,
        peers: &'a Peers,
        ports: &Ports,
        direction: Direction,
    ) -> Vec<(Option<u32>, PeerSet, GrantedPorts)> {
        let (numbers, names) = split(ports);
        let peer_sets: Vec<(Option<u32>, PeerSet)> = match peers {
            Peers::Everyone => vec![(None, PeerSet::Everyone)],
            Peers::Listed(list) => (0..)
                .zip(list)
                .map(|(at, peer)| (Some(at), self.peer(namespace, peer)))
                .collect(),
        };
        let mut granted = Vec::new();
        if direction == Direction::Egress && !names.is_empty() {
            for (at, peers) in &peer_sets {
                let resolved = self.named(peers, &names);
                granted.extend(
                    resolved
                        .into_iter()
                        .map(|(peers, ports)| (*at, peers, ports)),
                );
            }
        }
        let kept: Arc<[PortName]> = if direction == Direction::Ingress {
            names.into()
        } else {
            Arc::new([])
        };
        if !numbers.is_empty() || !kept.is_empty() {
            let ports = GrantedPorts {
                numbers: self.port_sets.intern(numbers),
                names: kept,
            };
            granted.extend(
                peer_sets
                    .into_iter()
                    .map(|(at, peers)| (at, peers, ports.clone())),
            );
        }
        granted.retain(|(_, peers, _)| !self.is_nobody(peers));
        granted
    }

    fn peer(&mut self, namespace: u32, peer: &'a Peer) -> PeerSet {
        match peer {
            Peer::Block(block) => {
                let known = self.blocks.entry(block);
                PeerSet::Block(known.or_insert_with(|| Arc::new(block.addresses())).clone())
            }
            Peer::Pods { namespaces, pods } => {
                let scope = match namespaces {
                    Namespaces::Own => Scope::One(namespace),
                    Namespaces::Matching(selector) => Scope::Matching(selector),
                };
                PeerSet::Pods(self.pods(scope, pods))
            }
        }
    }

    fn pods(&mut self, scope: Scope<'a>, pods: &'a Selector) -> PodSetId {
        if let Some(&known) = self.peers.get(&(scope, pods)) {
            return known;
        }
        let classes = match scope {
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
        };
        let number = self.pod_sets.intern(classes);
        self.peers.insert((scope, pods), number);
        number
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

    /// Resolves port names towards destinations: for each number list, the destinations that give the names these
    /// numbers. A name is looked up on the destination pod (semantics, rule 20), so an address that is no pod's has
    /// none.
    fn named(&mut self, peers: &PeerSet, names: &[PortName]) -> Vec<(PeerSet, GrantedPorts)> {
        let resolved: Vec<(PeerSet, PortSet)> = match peers {
            PeerSet::Pods(set) => {
                self.named_pods(self.pod_sets.shared(*set).iter().copied(), names)
            }
            PeerSet::Everyone => {
                let bearers = names.iter().filter_map(|name| self.bearers.get(name));
                let bearers: BTreeSet<ClassId> = bearers.flatten().copied().collect();
                self.named_pods(bearers.into_iter(), names)
            }
            PeerSet::Block(block) => self.named_addresses(block, names),
        };
        let granted = resolved.into_iter().map(|(peers, ports)| {
            let numbers = self.port_sets.intern(ports);
            (
                peers,
                GrantedPorts {
                    numbers,
                    names: Arc::new([]),
                },
            )
        });
        granted.collect()
    }

    fn named_pods(
        &mut self,
        classes: impl Iterator<Item = ClassId>,
        names: &[PortName],
    ) -> Vec<(PeerSet, PortSet)> {
        let mut by_ports: BTreeMap<PortSet, Vec<ClassId>> = BTreeMap::new();
        for class in classes {
            let ports = numbers_of(names, &self.inventory.classes[class as usize].ports);
            if !ports.is_empty() {
                by_ports.entry(ports).or_default().push(class);
            }
        }
        let sets = by_ports.into_iter();
        sets.map(|(ports, classes)| (PeerSet::Pods(self.pod_sets.intern(classes)), ports))
            .collect()
    }

    fn named_addresses(&self, block: &IpSet, names: &[PortName]) -> Vec<(PeerSet, PortSet)> {
        let mut by_ports: BTreeMap<PortSet, Vec<IpAddr>> = BTreeMap::new();
        for (address, pod) in self.inventory.pods_within(block) {
            let class = self.inventory.class_of[pod as usize];
            let ports = numbers_of(names, &self.inventory.classes[class as usize].ports);
            if !ports.is_empty() {
                by_ports.entry(ports).or_default().push(address);
            }
        }
        let sets = by_ports.into_iter();
        sets.map(|(ports, addresses)| {
            (
                PeerSet::Block(Arc::new(addresses.into_iter().collect())),
                ports,
            )
        })
        .collect()
    }

    fn is_nobody(&self, peers: &PeerSet) -> bool {
        match peers {
            PeerSet::Everyone => false,
            PeerSet::Pods(set) => self.pod_sets.value(*set).is_empty(),
            PeerSet::Block(block) => block.is_empty(),
        }
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

/// The numbers that `ports` give to any of `names`.
pub(crate) fn numbers_of(names: &[PortName], ports: &[ContainerPort]) -> PortSet {
    let matching = ports.iter().filter(|port| {
        names
            .iter()
            .any(|(protocol, name)| *protocol == port.protocol && port.name.as_ref() == Some(name))
    });
    matching
        .map(|port| (port.protocol, port.port, port.port))
        .collect()
}

/// The numeric part of `ports`, and the names.
fn split(ports: &Ports) -> (PortSet, Vec<PortName>) {
    match ports {
        Ports::All => (PortSet::all(), Vec::new()),
        Ports::Listed(entries) => {
            let mut ranges = Vec::new();
            let mut names = Vec::new();
            for entry in entries {
                match entry {
                    PortSpec::Range(protocol, low, high) => ranges.push((*protocol, *low, *high)),
                    PortSpec::Named(protocol, name) => names.push((*protocol, name.clone())),
                }
            }
            names.sort_unstable();
            names.dedup();
            (ranges.into_iter().collect(), names)
        }
    }
}
