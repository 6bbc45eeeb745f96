//! Who may reach whom by the policies of the input, exactly and without listing pairs of pods.
//!
//! Pods that no policy and no Service can tell apart are one class. What a policy's rules give is resolved once, to
//! classes and addresses; a question walks over the policies that select a class.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use policy_core::policy::{Namespaces, Peer, Peers};
use policy_core::{
    ContainerPort, Direction, FlowPort, IpSet, LabelIndex, Labels, Pod, PodId, PortSet, Protocol,
    Selector,
};
use rayon::prelude::*;

use super::meaning::{block_addresses, named, numbered};
use super::{LintPolicy, World};

/// A position in [`Reach::classes`].
pub type ClassId = u32;

/// Pods of one namespace with equal labels and ports.
#[derive(Debug)]
pub struct Class<'w> {
    /// Their namespace.
    pub namespace: &'w str,
    /// Their labels.
    pub labels: &'w Labels,
    /// What their containers declare.
    pub ports: &'w [ContainerPort],
    /// The pods, sorted.
    pub pods: Vec<&'w Arc<Pod>>,
}

impl Class<'_> {
    /// The first of its pods, by which messages name it.
    pub fn name(&self) -> &PodId {
        &self.pods[0].id
    }

    /// The numbers that a port name has on its pods.
    pub fn numbers(&self, protocol: Protocol, name: &str) -> impl Iterator<Item = u16> {
        let ports = self.ports.iter().filter(move |port| {
            port.protocol == protocol && port.name.as_deref().is_some_and(|known| known == name)
        });
        ports.map(|port| port.port)
    }
}

/// What one rule gives.
#[derive(Debug)]
pub struct Grant {
    /// The rule's position in the policy's list.
    pub rule: usize,
    /// Whether everyone is meant.
    pub is_for_everyone: bool,
    /// The classes of each peer; none for blocks.
    pub peers: Vec<Vec<ClassId>>,
    /// The addresses of its blocks.
    pub blocks: IpSet,
    numbers: PortSet,
    names: Vec<(Protocol, Box<str>)>,
}

/// What all policies of the input give.
#[derive(Debug)]
pub struct Reach<'w> {
    /// The classes of pods, sorted by namespace.
    pub classes: Vec<Class<'w>>,
    /// For each direction and class, the policies that isolate it, by their position in the input.
    isolating: [Vec<Vec<u32>>; 2],
    /// For each direction and policy, what its rules give; nothing where a later policy has its name.
    grants: [Vec<Vec<Grant>>; 2],
    /// For each policy, the classes that it selects.
    subjects: Vec<Vec<ClassId>>,
}

impl<'w> Reach<'w> {
    /// Resolves the policies for the pods of the input.
    pub(super) fn new(world: &'w World, policies: &[LintPolicy<'_>]) -> Self {
        let (classes, ranges) = classes(world);
        let index = LabelIndex::new(classes.iter().map(|class| class.labels));
        let resolver = Resolver {
            index,
            ranges: &ranges,
            matching: matching(world, policies, &ranges),
            all: 0..number(classes.len()),
        };
        let mut last: BTreeMap<_, usize> = BTreeMap::new();
        for (index, policy) in policies.iter().enumerate() {
            last.insert(&policy.meaning.id, index);
        }
        let meanings: Vec<Resolved> = policies
            .par_iter()
            .enumerate()
            .map(|(index, policy)| {
                if last.get(&policy.meaning.id) == Some(&index) {
                    resolver.policy(policy)
                } else {
                    Resolved::default()
                }
            })
            .collect();
        let mut reach = Self {
            isolating: [
                vec![Vec::new(); classes.len()],
                vec![Vec::new(); classes.len()],
            ],
            grants: [Vec::new(), Vec::new()],
            subjects: Vec::new(),
            classes,
        };
        for ((index, policy), resolved) in (0..).zip(policies).zip(meanings) {
            for direction in Direction::ALL {
                if policy.meaning.isolates(direction) {
                    for &class in &resolved.subjects {
                        reach.isolating[side(direction)][class as usize].push(index);
                    }
                }
            }
            let [ingress, egress] = resolved.grants;
            reach.grants[0].push(ingress);
            reach.grants[1].push(egress);
            reach.subjects.push(resolved.subjects);
        }
        reach
    }

    /// The class with this number.
    pub fn class(&self, class: ClassId) -> &Class<'w> {
        &self.classes[class as usize]
    }

    /// All classes with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (ClassId, &Class<'w>)> {
        (0..).zip(&self.classes)
    }

    /// The classes that a policy selects, by its position in the input.
    pub fn subjects(&self, policy: usize) -> &[ClassId] {
        &self.subjects[policy]
    }

    /// What a policy's rules give in `direction`.
    pub fn grants(&self, policy: usize, direction: Direction) -> &[Grant] {
        &self.grants[side(direction)][policy]
    }

    /// The policies that isolate a class in `direction`, by their positions in the input.
    pub fn isolating(&self, class: ClassId, direction: Direction) -> &[u32] {
        &self.isolating[side(direction)][class as usize]
    }

    /// Whether a policy isolates the class in `direction`.
    pub fn is_isolated(&self, class: ClassId, direction: Direction) -> bool {
        !self.isolating(class, direction).is_empty()
    }

    /// Everything that policies give to a class in `direction`; empty for a class that is not isolated.
    pub fn given(&self, class: ClassId, direction: Direction) -> impl Iterator<Item = &Grant> {
        let policies = self.isolating(class, direction).iter();
        policies.flat_map(move |&policy| self.grants(policy as usize, direction))
    }

    /// The ports on which a class and a peer may exchange traffic, as far as the class's own side is concerned. A
    /// block counts for a peer whose addresses nobody knows.
    pub fn allowed(&self, class: ClassId, direction: Direction, peer: ClassId) -> PortSet {
        if !self.is_isolated(class, direction) {
            return PortSet::all();
        }
        let destination = self.destination(class, direction, peer);
        let grants = self.given(class, direction);
        let granted = grants.filter(|grant| self.is_peer(grant, peer));
        granted.fold(PortSet::empty(), |set, grant| {
            set.union(&grant.ports(self.class(destination)))
        })
    }

    /// The class on whose pods port names of a grant are looked up.
    pub fn destination(&self, class: ClassId, direction: Direction, peer: ClassId) -> ClassId {
        match direction {
            Direction::Ingress => class,
            Direction::Egress => peer,
        }
    }

    fn is_peer(&self, grant: &Grant, peer: ClassId) -> bool {
        let is_listed = |classes: &Vec<ClassId>| classes.binary_search(&peer).is_ok();
        grant.is_for_everyone
            || grant.peers.iter().any(is_listed)
            || (!grant.blocks.is_empty() && self.may_be_in(peer, &grant.blocks))
    }

    fn may_be_in(&self, class: ClassId, blocks: &IpSet) -> bool {
        self.class(class).pods.iter().any(|pod| {
            let mut addresses = pod.addresses.iter();
            pod.addresses.is_empty() || addresses.any(|address| blocks.contains(*address))
        })
    }
}

impl Grant {
    /// The ports that it gives on pods of a class.
    pub fn ports(&self, destination: &Class<'_>) -> PortSet {
        if self.names.is_empty() {
            return self.numbers.clone();
        }
        let named = self.names.iter().flat_map(|(protocol, name)| {
            let numbers = destination.numbers(*protocol, name);
            numbers.map(|number| (*protocol, number, number))
        });
        self.numbers.union(&named.collect())
    }

    /// Whether it gives a port by its number, wherever it goes.
    pub fn gives_number(&self, port: FlowPort) -> bool {
        self.numbers.contains(port)
    }

    /// Whether it gives a port of pods of a class.
    pub fn gives(&self, destination: &Class<'_>, port: FlowPort) -> bool {
        self.numbers.contains(port) || self.ports(destination).contains(port)
    }
}

#[derive(Default)]
struct Resolved {
    subjects: Vec<ClassId>,
    grants: [Vec<Grant>; 2],
}

struct Resolver<'r> {
    index: LabelIndex<'r>,
    ranges: &'r BTreeMap<&'r str, Range<u32>>,
    /// For each distinct `namespaceSelector`, the ranges of the namespaces that it matches.
    matching: BTreeMap<&'r Selector, Vec<Range<u32>>>,
    all: Range<u32>,
}

impl Resolver<'_> {
    fn policy(&self, policy: &LintPolicy<'_>) -> Resolved {
        let own = policy.meaning.id.namespace.as_ref();
        let grants = |direction| {
            let rules = policy.rules_of(direction).into_iter();
            let grants = rules.map(|rule| Grant {
                rule: rule.index,
                is_for_everyone: matches!(rule.peers, Peers::Everyone),
                peers: self.peers(own, rule.peers),
                blocks: block_addresses(rule.peers),
                numbers: numbered(rule.ports),
                names: named(rule.ports)
                    .map(|(protocol, name)| (protocol, name.into()))
                    .collect(),
            });
            grants.collect()
        };
        Resolved {
            subjects: self.select(self.own(own), &policy.meaning.subjects),
            grants: Direction::ALL.map(grants),
        }
    }

    fn peers(&self, own: &str, peers: &Peers) -> Vec<Vec<ClassId>> {
        let Peers::Listed(peers) = peers else {
            return Vec::new();
        };
        let resolved = peers.iter().map(|peer| match peer {
            Peer::Block(_) => Vec::new(),
            Peer::Pods {
                namespaces: Namespaces::Own,
                pods,
            } => self.select(self.own(own), pods),
            Peer::Pods {
                namespaces: Namespaces::Matching(selector),
                pods,
            } => {
                if selector.is_everything() {
                    return self.select(self.all.clone(), pods);
                }
                let ranges = self.matching.get(selector).into_iter().flatten();
                ranges
                    .flat_map(|range| self.select(range.clone(), pods))
                    .collect()
            }
        });
        resolved.collect()
    }

    fn own(&self, namespace: &str) -> Range<u32> {
        self.ranges.get(namespace).cloned().unwrap_or(0..0)
    }

    fn select(&self, range: Range<u32>, selector: &Selector) -> Vec<ClassId> {
        self.index.select(selector, range)
    }
}

type Ranges<'w> = BTreeMap<&'w str, Range<u32>>;

fn classes(world: &World) -> (Vec<Class<'_>>, Ranges<'_>) {
    let mut classes: Vec<Class<'_>> = Vec::new();
    let mut ranges = Ranges::new();
    for namespace in world.namespaces().keys() {
        let mut alike: BTreeMap<(&Labels, &[ContainerPort]), Vec<&Arc<Pod>>> = BTreeMap::new();
        for pod in world.pods_in(namespace) {
            alike
                .entry((&pod.labels, &pod.ports))
                .or_default()
                .push(pod);
        }
        let start = number(classes.len());
        classes.extend(alike.into_iter().map(|((labels, ports), pods)| Class {
            namespace,
            labels,
            ports,
            pods,
        }));
        ranges.insert(namespace, start..number(classes.len()));
    }
    (classes, ranges)
}

fn matching<'r>(
    world: &'r World,
    policies: &'r [LintPolicy<'_>],
    ranges: &Ranges<'_>,
) -> BTreeMap<&'r Selector, Vec<Range<u32>>> {
    let mut found: BTreeMap<&Selector, Vec<Range<u32>>> = BTreeMap::new();
    for (_, rule) in policies
        .iter()
        .flat_map(|policy| policy.rules().map(move |rule| (policy, rule)))
    {
        let Peers::Listed(peers) = rule.peers else {
            continue;
        };
        for peer in peers {
            if let Peer::Pods {
                namespaces: Namespaces::Matching(selector),
                ..
            } = peer
            {
                found.entry(selector).or_insert_with(|| {
                    let all = world.namespaces().iter();
                    let matched = all.filter(|(_, labels)| selector.matches(labels));
                    matched
                        .filter_map(|(name, _)| ranges.get(name.as_ref()).cloned())
                        .collect()
                });
            }
        }
    }
    found
}

fn side(direction: Direction) -> usize {
    match direction {
        Direction::Ingress => 0,
        Direction::Egress => 1,
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("fewer than 2^32 classes")
}
