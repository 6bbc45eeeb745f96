//! What one class may exchange, as set elements: which permissions become hash sets, which interval sets, and which a
//! peer set and a port set of their own.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy_core::{IpSet, PortSet};

use crate::class::{Grant, Ports};
use crate::element::{Element, PeerPorts, ProtocolPorts};
use crate::names::Label;
use crate::value::{AddressRange, PortRange, Protocol};

/// A range of at most this many ports goes port by port into a hash set, whose lookup costs half of an interval set's.
const EXPANDED_PORTS: u16 = 16;

/// A permission of more elements than this is split into a peer set, which other classes can share, and a port set:
/// two lookups instead of one, for a sum of elements instead of a product.
const SPLIT_ABOVE: usize = 4096;

/// At most this many permissions of a class are split, so that a packet meets a bounded number of rules.
const MOST_SPLITS: usize = 4;

/// One permission of a class, as a minimal graph tells it: no two of a class have the same ports, but one of them may be
/// for everyone; their blocks are disjoint.
pub(crate) struct Permission<'p> {
    pub(crate) everyone: bool,
    pub(crate) ports: &'p PortSet,
    pub(crate) blocks: &'p IpSet,
    /// The addresses of the pods that it is for.
    pub(crate) addresses: Cow<'p, BTreeSet<IpAddr>>,
}

/// What becomes of each permission of a class, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// Whether everything is allowed, whatever the permissions say besides.
    pub(crate) is_open: bool,
    pub(crate) uses: Vec<Use>,
}

/// What becomes of a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Ports that every peer may use.
    Everyone,
    /// Peers that may use every port.
    AllPorts,
    /// A peer set and a port set, by the number that the pair has in its class.
    Split(usize),
    /// Peers and ports together.
    Boxed,
}

impl Form {
    /// The form for these permissions, where each is for so many pods' addresses.
    pub(crate) fn of<'p, 'q: 'p>(
        permissions: impl Iterator<Item = (&'p Permission<'q>, usize)>,
    ) -> Self {
        let mut form = Self::default();
        let mut large = Vec::new();
        for (index, (permission, addresses)) in permissions.enumerate() {
            form.is_open |= permission.ports.is_all()
                && (permission.everyone || *permission.blocks == IpSet::full());
            form.uses.push(if permission.everyone {
                Use::Everyone
            } else if permission.ports.is_all() {
                Use::AllPorts
            } else {
                let elements = elements(permission, addresses);
                if elements > SPLIT_ABOVE {
                    large.push((std::cmp::Reverse(elements), permission.ports, index));
                }
                Use::Boxed
            });
        }
        large.sort();
        large.truncate(MOST_SPLITS);
        large.sort_by_key(|(_, ports, _)| *ports);
        for (number, (_, _, index)) in large.into_iter().enumerate() {
            form.uses[index] = Use::Split(number);
        }
        form
    }

    /// The form for the parts of one rule, whose packets are counted: in it no packet has two matches. Only a single part is
    /// split, since an address can be in several.
    pub(crate) fn of_rule<'p, 'q: 'p>(
        permissions: impl Iterator<Item = (&'p Permission<'q>, usize)>,
    ) -> Self {
        let mut form = Self::of(permissions);
        if form.uses.len() > 1 {
            let splits = form.uses.iter_mut();
            splits
                .filter(|part| matches!(part, Use::Split(_)))
                .for_each(|part| *part = Use::Boxed);
        }
        form
    }

    /// The form for these permissions.
    pub(crate) fn of_all(permissions: &[Permission<'_>]) -> Self {
        let counted = |permission| -> (&Permission<'_>, usize) {
            let permission: &Permission<'_> = permission;
            (permission, permission.addresses.len())
        };
        Self::of(permissions.iter().map(counted))
    }
}

/// What a class with these permissions may exchange. Elements of one kind never overlap. `peers` names the peer set of
/// the split with a number.
pub(crate) fn grants(
    permissions: &[Permission<'_>],
    form: &Form,
    peers_label: impl Fn(usize) -> Label,
) -> Vec<Grant> {
    if form.is_open {
        return vec![Grant::Everyone(Ports::All)];
    }
    let mut grants = Vec::new();
    let mut everyone = BTreeSet::new();
    for (permission, form) in permissions.iter().zip(&form.uses) {
        match form {
            Use::Everyone => everyone.extend(port_ranges(permission.ports)),
            Use::AllPorts => grants.push(Grant::Peers(peers(permission))),
            Use::Split(number) => grants.push(Grant::Shared {
                ports: Ports::Only(port_ranges(permission.ports).collect()),
                peers: peers_label(*number),
            }),
            Use::Boxed => {}
        }
    }
    let boxes = Boxes::of(permissions, form).disjoint(&mut everyone);
    if !everyone.is_empty() {
        grants.push(Grant::Everyone(Ports::Only(everyone)));
    }
    if !boxes.is_empty() {
        grants.push(Grant::PeerPorts(boxes));
    }
    grants.sort();
    grants
}

/// The elements that a class of this form has on account of one address of a pod, in its own sets and, by the number of
/// the split, in its peer sets. Where only addresses of permissions change, these are all that change.
pub(crate) fn of_address(
    permissions: &[Permission<'_>],
    form: &Form,
    address: IpAddr,
) -> (Vec<Element>, Vec<usize>) {
    let (mut own, mut shared) = (Vec::new(), Vec::new());
    if form.is_open {
        return (own, shared);
    }
    let range = AddressRange::single(address);
    let mut ports = PortSet::default();
    for (permission, form) in permissions.iter().zip(&form.uses) {
        if !permission.addresses.contains(&address) {
            continue;
        }
        match form {
            Use::Everyone => {}
            Use::Boxed => ports = ports.union(permission.ports),
            Use::AllPorts | Use::Split(_) if permission.blocks.contains(address) => {}
            Use::AllPorts => own.push(Element::Address(range)),
            Use::Split(number) => shared.push(*number),
        }
    }
    if !ports.is_empty() {
        let boxes = boxed_blocks(permissions, form);
        let ports = beyond_blocks(&boxes, address, &ports);
        own.extend(port_ranges(&ports).map(|ports| Element::PeerPort(boxed(range, ports))));
    }
    (own, shared)
}

/// How many elements the permission's peers and ports make as a product.
fn elements(permission: &Permission<'_>, addresses: usize) -> usize {
    let blocks = permission.blocks;
    let ranges = blocks.v4.ranges().len() + blocks.v6.ranges().len();
    (ranges + addresses) * port_ranges(permission.ports).count()
}

/// The permission's peers: its blocks, and its pods' addresses that are not in them anyway.
pub(crate) fn peers(permission: &Permission<'_>) -> BTreeSet<AddressRange> {
    let pods = permission.addresses.iter().copied();
    let outside = pods
        .filter(|&address| !permission.blocks.contains(address))
        .map(AddressRange::single);
    ranges(permission.blocks).chain(outside).collect()
}

/// Blocks with limited ports, disjoint.
type Blocks<'p> = Vec<(&'p IpSet, &'p PortSet)>;

fn boxed_blocks<'p>(permissions: &'p [Permission<'_>], form: &Form) -> Blocks<'p> {
    boxed_permissions(permissions, form)
        .filter(|permission| !permission.blocks.is_empty())
        .map(|permission| (permission.blocks, permission.ports))
        .collect()
}

fn boxed_permissions<'p, 'q>(
    permissions: &'p [Permission<'q>],
    form: &Form,
) -> impl Iterator<Item = &'p Permission<'q>> {
    let with_use = permissions.iter().zip(&form.uses);
    with_use.filter_map(|(permission, form)| (*form == Use::Boxed).then_some(permission))
}

/// What a block gives a pod's address already is taken out of the pod's own ports.
fn beyond_blocks<'s>(blocks: &Blocks<'_>, address: IpAddr, ports: &'s PortSet) -> Cow<'s, PortSet> {
    let block = blocks
        .iter()
        .find(|(addresses, _)| addresses.contains(address));
    block.map_or(Cow::Borrowed(ports), |(_, given)| {
        Cow::Owned(ports.difference(given))
    })
}

/// Peers with limited ports, collected over the permissions of a class.
struct Boxes<'p> {
    pods: BTreeMap<IpAddr, Cow<'p, PortSet>>,
    blocks: Blocks<'p>,
}

impl<'p> Boxes<'p> {
    fn of(permissions: &'p [Permission<'_>], form: &Form) -> Self {
        let mut pods: BTreeMap<IpAddr, Cow<'_, PortSet>> = BTreeMap::new();
        for permission in boxed_permissions(permissions, form) {
            for &address in permission.addresses.iter() {
                let ports = pods
                    .entry(address)
                    .or_insert(Cow::Borrowed(permission.ports));
                if **ports != *permission.ports {
                    *ports = Cow::Owned(ports.union(permission.ports));
                }
            }
        }
        let blocks = boxed_blocks(permissions, form);
        Self { pods, blocks }
    }

    /// Boxes of which no two overlap. The blocks of a minimal graph are disjoint. A port that blocks open to every
    /// address of both families goes to `everyone`, whose lookup is cheaper.
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
            let range = AddressRange::single(address);
            let ports = beyond_blocks(&self.blocks, address, ports);
            boxes.extend(port_ranges(&ports).map(|ports| boxed(range, ports)));
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
