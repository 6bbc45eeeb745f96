//! What one class may exchange, as set elements: which permissions become hash sets, which interval sets, and which a
//! peer set and a port set of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy_core::graph::{Permission, Subject};
use policy_core::{Direction, IpSet, PortSet};

use crate::class::{Grant, Ports};
use crate::element::{PeerPorts, ProtocolPorts};
use crate::names::Label;
use crate::value::{AddressRange, PortRange, Protocol};

/// A range of at most this many ports goes port by port into a hash set, whose lookup costs half of an interval set's.
const EXPANDED_PORTS: u16 = 16;

/// A permission of more elements than this is split into a peer set, which other classes can share, and a port set:
/// two lookups instead of one, for a sum of elements instead of a product.
const SPLIT_ABOVE: usize = 4096;

/// At most this many permissions of a class are split, so that a packet meets a bounded number of rules.
const MOST_SPLITS: usize = 4;

/// Peer sets that classes share, by what they hold.
#[derive(Default)]
pub(crate) struct PeerPool {
    labels: BTreeMap<BTreeSet<AddressRange>, Label>,
    taken: BTreeMap<Label, usize>,
}

impl PeerPool {
    /// The label of the set with these peers. It follows `origin`, what they are for at the class that named them
    /// first: peers come and go, and the set should stay where it is.
    fn label(&mut self, peers: BTreeSet<AddressRange>, origin: &str) -> Label {
        let taken = &mut self.taken;
        let distinct = || {
            let label = Label::stable("peers", origin);
            let number = taken.entry(label.clone()).or_default();
            *number += 1;
            label.distinct(*number)
        };
        self.labels.entry(peers).or_insert_with(distinct).clone()
    }

    /// The sets, in the order of what they hold.
    pub(crate) fn into_sets(self) -> impl Iterator<Item = (Label, BTreeSet<AddressRange>)> {
        self.labels.into_iter().map(|(peers, label)| (label, peers))
    }
}

/// What a subject of a minimal graph may exchange in `direction`. Elements of one kind never overlap. `identity` is
/// what the subject's class has its label from.
pub(crate) fn grants(
    subject: &Subject<'_>,
    direction: Direction,
    identity: &str,
    pool: &mut PeerPool,
) -> Vec<Grant> {
    let permissions = subject.permissions(direction);
    let mut grants = Vec::new();
    let mut boxes = Boxes::default();
    let mut everyone = BTreeSet::new();
    let mut is_open = false;
    let mut splits = Vec::new();
    for permission in &permissions {
        if permission.is_for_everyone() {
            everyone.extend(port_ranges(permission.ports()));
            is_open |= permission.ports().is_all();
        } else if permission.ports().is_all() {
            is_open |= *permission.blocks() == IpSet::full();
            grants.push(Grant::Peers(peers(permission)));
        } else {
            splits.push((elements(permission), permission));
        }
    }
    if is_open {
        return vec![Grant::Everyone(Ports::All)];
    }
    splits.sort_by_key(|(elements, _)| std::cmp::Reverse(*elements));
    for (position, (elements, permission)) in splits.into_iter().enumerate() {
        if elements > SPLIT_ABOVE && position < MOST_SPLITS {
            let ports = ports(permission.ports());
            let peers = pool.label(
                peers(permission),
                &format!("{direction:?} {identity} {ports:?}"),
            );
            grants.push(Grant::Shared { peers, ports });
        } else {
            boxes.add(permission);
        }
    }
    let boxes = boxes.disjoint(&mut everyone);
    if !everyone.is_empty() {
        grants.push(Grant::Everyone(Ports::Only(everyone)));
    }
    if !boxes.is_empty() {
        grants.push(Grant::PeerPorts(boxes));
    }
    grants.sort();
    grants
}

/// How many elements the permission's peers and ports make as a product.
fn elements(permission: &Permission<'_>) -> usize {
    let blocks = permission.blocks();
    let ranges = blocks.v4.ranges().len() + blocks.v6.ranges().len();
    let pods: usize = permission
        .pods()
        .map(|(_, addresses)| addresses.count())
        .sum();
    (ranges + pods) * port_ranges(permission.ports()).count()
}

/// The permission's peers: its blocks, and its pods' addresses that are not in them anyway.
fn peers(permission: &Permission<'_>) -> BTreeSet<AddressRange> {
    let blocks = permission.blocks();
    let pods = permission.pods().flat_map(|(_, addresses)| addresses);
    let outside = pods
        .filter(|&address| !blocks.contains(address))
        .map(AddressRange::single);
    ranges(blocks).chain(outside).collect()
}

/// Peers with limited ports, collected over the permissions of a class.
#[derive(Default)]
struct Boxes {
    pods: BTreeMap<IpAddr, PortSet>,
    blocks: Vec<(IpSet, PortSet)>,
}

impl Boxes {
    fn add(&mut self, permission: &Permission<'_>) {
        for address in permission.pods().flat_map(|(_, addresses)| addresses) {
            let ports = self.pods.entry(address).or_default();
            *ports = ports.union(permission.ports());
        }
        if !permission.blocks().is_empty() {
            self.blocks
                .push((permission.blocks().clone(), permission.ports().clone()));
        }
    }

    /// Boxes of which no two overlap. The blocks of a minimal graph are disjoint; what a block gives a pod's address
    /// already is taken out of the pod's own ports. A port that blocks open to every address of both families goes to
    /// `everyone`, whose lookup is cheaper.
    fn disjoint(&self, everyone: &mut BTreeSet<ProtocolPorts>) -> BTreeSet<PeerPorts> {
        let mut boxes = BTreeSet::new();
        for (ports, addresses) in self.blocks_by_ports() {
            let addresses = union(&addresses);
            if addresses == IpSet::full() {
                everyone.insert(ports);
            } else {
                boxes.extend(ranges(&addresses).map(|range| boxed(range, ports)));
            }
        }
        for (&address, ports) in &self.pods {
            let block = self
                .blocks
                .iter()
                .find(|(addresses, _)| addresses.contains(address));
            let rest = block.map(|(_, given)| ports.difference(given));
            let range = AddressRange::single(address);
            let ports = port_ranges(rest.as_ref().unwrap_or(ports));
            boxes.extend(ports.map(|ports| boxed(range, ports)));
        }
        boxes
    }

    /// The blocks of each port range, to join those that touch: a minimal graph splits them where ports differ.
    fn blocks_by_ports(&self) -> BTreeMap<ProtocolPorts, Vec<&IpSet>> {
        let mut by_ports: BTreeMap<ProtocolPorts, Vec<&IpSet>> = BTreeMap::new();
        for (addresses, ports) in &self.blocks {
            for ports in port_ranges(ports) {
                by_ports.entry(ports).or_default().push(addresses);
            }
        }
        by_ports
    }
}

fn union(sets: &[&IpSet]) -> IpSet {
    IpSet {
        v4: sets
            .iter()
            .flat_map(|set| set.v4.ranges())
            .copied()
            .collect(),
        v6: sets
            .iter()
            .flat_map(|set| set.v6.ranges())
            .copied()
            .collect(),
    }
}

fn boxed(peer: AddressRange, ports: ProtocolPorts) -> PeerPorts {
    PeerPorts {
        peer,
        protocol: ports.protocol,
        ports: ports.ports,
    }
}

fn ports(set: &PortSet) -> Ports {
    if set.is_all() {
        Ports::All
    } else {
        Ports::Only(port_ranges(set).collect())
    }
}

/// The set's ports, short ranges port by port.
fn port_ranges(set: &PortSet) -> impl Iterator<Item = ProtocolPorts> {
    policy_core::Protocol::ALL
        .into_iter()
        .flat_map(move |core_protocol| {
            let protocol = match core_protocol {
                policy_core::Protocol::Tcp => Protocol::Tcp,
                policy_core::Protocol::Udp => Protocol::Udp,
                policy_core::Protocol::Sctp => Protocol::Sctp,
            };
            let ranges = set.ports(core_protocol).ranges().iter().copied();
            ranges
                .flat_map(expanded)
                .map(move |ports| ProtocolPorts { protocol, ports })
        })
}

fn expanded((first, last): (u16, u16)) -> Vec<PortRange> {
    if last - first < EXPANDED_PORTS {
        return (first..=last).map(PortRange::single).collect();
    }
    PortRange::new(first, last).into_iter().collect()
}

fn ranges(set: &IpSet) -> impl Iterator<Item = AddressRange> {
    set.ranges()
        .filter_map(|(first, last)| AddressRange::new(first, last))
}
