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
/// An address set, by its number in [`Resolver::blocks`].
pub(crate) type BlockId = u32;
/// A list of port names, by its number in [`Resolver::names`].
pub(crate) type NamesId = u32;
/// A position in [`Resolver::groups`].
pub(crate) type GroupId = u32;
/// A position in the list of policies.
pub(crate) type PolicyIndex = u32;

/// Who a grant is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PeerSet {
    /// Everyone, inside the cluster or not.
    Everyone,
    /// The pods of these classes.
    Pods(PodSetId),
    /// These addresses.
    Block(BlockId),
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

/// What a rule gives to one of its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Grant {
    pub(crate) peers: PeerSet,
    pub(crate) ports: GrantedPorts,
    pub(crate) source: Source,
}

/// The ports of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GrantedPorts {
    /// The numeric ones.
    pub(crate) numbers: PortSetId,
    /// The named ones, for the subject's own ports. Only ingress grants have any: an egress grant's names are
    /// resolved at once, for each destination.
    pub(crate) names: Option<NamesId>,
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
    pub(crate) blocks: Interner<IpSet>,
    names: Interner<[PortName]>,
    /// For each port name, the classes that give it to a port.
    bearers: FxHashMap<PortName, Vec<ClassId>>,
    peers: FxHashMap<(Scope<'a>, &'a Selector), PodSetId>,
    namespace_lists: FxHashMap<&'a Selector, Arc<[u32]>>,
    known_blocks: FxHashMap<&'a IpBlock, BlockId>,
    known_ports: FxHashMap<&'a Ports, RulePorts>,
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
            blocks: Interner::default(),
            names: Interner::default(),
            bearers: bearers(inventory),
            peers: FxHashMap::default(),
            namespace_lists: FxHashMap::default(),
            known_blocks: FxHashMap::default(),
            known_ports: FxHashMap::default(),
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

    /// What a group's policies give in one direction, sorted.
    pub(crate) fn grants(
        &mut self,
        group: &Group<'a>,
        policies: &'a [Arc<Policy>],
        direction: Direction,
    ) -> Vec<Grant> {
        let mut grants = Vec::new();
        for &policy in &group.policies {
            for (rule, written) in (0..).zip(policies[policy as usize].rules(direction)) {
                let Rule::Allow { peers, ports } = written else {
                    continue;
                };
                let source = |peer| Source {
                    policy,
                    direction,
                    rule,
                    peer,
                };
                let ports = self.rule_ports(ports);
                match peers {
                    Peers::Everyone => {
                        self.grant(PeerSet::Everyone, ports, source(None), &mut grants);
                    }
                    Peers::Listed(list) => {
                        for (number, peer) in (0..).zip(list) {
                            let peers = self.peer(group.namespace, peer);
                            self.grant(peers, ports, source(Some(number)), &mut grants);
                        }
                    }
                }
            }
        }
        grants.sort_unstable();
        grants
    }

    /// The ports of a rule, each distinct list looked at once.
    fn rule_ports(&mut self, ports: &'a Ports) -> RulePorts {
        if let Some(&known) = self.known_ports.get(ports) {
            return known;
        }
        let (numbers, names) = split(ports);
        let read = RulePorts {
            has_numbers: !numbers.is_empty(),
            numbers: self.port_sets.intern(numbers),
            names: (!names.is_empty()).then(|| self.names.intern(names)),
        };
        self.known_ports.insert(ports, read);
        read
    }

    /// Adds what one peer is given, unless nobody is that peer. The names of an ingress rule wait for the subject that
    /// they are looked up on; those of an egress rule are resolved for each destination.
    fn grant(&mut self, peers: PeerSet, ports: RulePorts, source: Source, grants: &mut Vec<Grant>) {
        if self.is_nobody(peers) {
            return;
        }
        let mut add = |peers, ports| {
            grants.push(Grant {
                peers,
                ports,
                source,
            });
        };
        match (source.direction, ports.names) {
            (Direction::Egress, Some(names)) => {
                let names = self.names.shared(names);
                for (peers, numbers) in self.named(peers, &names) {
                    add(
                        peers,
                        GrantedPorts {
                            numbers,
                            names: None,
                        },
                    );
                }
                if ports.has_numbers {
                    add(
                        peers,
                        GrantedPorts {
                            numbers: ports.numbers,
                            names: None,
                        },
                    );
                }
            }
            (_, names) => add(
                peers,
                GrantedPorts {
                    numbers: ports.numbers,
                    names,
                },
            ),
        }
    }

    /// What a grant's ports are for a subject with these named ports.
    pub(crate) fn admitted(
        &mut self,
        granted: GrantedPorts,
        subject_ports: &[ContainerPort],
    ) -> PortSetId {
        let Some(names) = granted.names else {
            return granted.numbers;
        };
        let by_name = numbers_of(self.names.value(names), subject_ports);
        let all = self.port_sets.value(granted.numbers).union(&by_name);
        self.port_sets.intern(all)
    }

    fn peer(&mut self, namespace: u32, peer: &'a Peer) -> PeerSet {
        match peer {
            Peer::Block(block) => {
                let known = self.known_blocks.entry(block);
                PeerSet::Block(*known.or_insert_with(|| self.blocks.intern(block.addresses())))
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
    fn named(&mut self, peers: PeerSet, names: &[PortName]) -> Vec<(PeerSet, PortSetId)> {
        let destinations: Vec<(PeerSet, PortSet)> = match peers {
            PeerSet::Pods(set) => self.named_pods(self.pod_sets.shared(set).iter().copied(), names),
            PeerSet::Everyone => {
                let bearers = names.iter().filter_map(|name| self.bearers.get(name));
                let bearers: BTreeSet<ClassId> = bearers.flatten().copied().collect();
                self.named_pods(bearers.into_iter(), names)
            }
            PeerSet::Block(block) => self.named_addresses(block, names),
        };
        let numbered = destinations.into_iter();
        numbered
            .map(|(peers, ports)| (peers, self.port_sets.intern(ports)))
            .collect()
    }

    fn named_pods(
        &mut self,
        classes: impl Iterator<Item = ClassId>,
        names: &[PortName],
    ) -> Vec<(PeerSet, PortSet)> {
        let mut by_ports: BTreeMap<PortSet, Vec<ClassId>> = BTreeMap::new();
        for class in classes {
            let ports = numbers_of(names, &self.inventory.classes[class as usize].ports);
            by_ports.entry(ports).or_default().push(class);
        }
        by_ports.remove(&PortSet::empty());
        let sets = by_ports.into_iter();
        sets.map(|(ports, classes)| (PeerSet::Pods(self.pod_sets.intern(classes)), ports))
            .collect()
    }

    fn named_addresses(&mut self, block: BlockId, names: &[PortName]) -> Vec<(PeerSet, PortSet)> {
        let mut by_ports: BTreeMap<PortSet, Vec<IpAddr>> = BTreeMap::new();
        for (address, pod) in self.inventory.pods_within(self.blocks.value(block)) {
            let class = self.inventory.class_of[pod as usize];
            let ports = numbers_of(names, &self.inventory.classes[class as usize].ports);
            by_ports.entry(ports).or_default().push(address);
        }
        by_ports.remove(&PortSet::empty());
        let sets = by_ports.into_iter().map(|(ports, addresses)| {
            let addresses: IpSet = addresses.into_iter().collect();
            (PeerSet::Block(self.blocks.intern(addresses)), ports)
        });
        sets.collect()
    }

    fn is_nobody(&self, peers: PeerSet) -> bool {
        match peers {
            PeerSet::Everyone => false,
            PeerSet::Pods(set) => self.pod_sets.value(set).is_empty(),
            PeerSet::Block(block) => self.blocks.value(block).is_empty(),
        }
    }
}

/// The ports of a rule.
#[derive(Clone, Copy)]
struct RulePorts {
    numbers: PortSetId,
    has_numbers: bool,
    names: Option<NamesId>,
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
fn numbers_of(names: &[PortName], ports: &[ContainerPort]) -> PortSet {
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
