//! Set elements and the keys of sets.
//!
//! Five shapes are all that the layout needs; each is a variant, so that an element can't have a
//! port where its set wants an address.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::value::{AddressRange, Family, PortRange, Protocol};

/// What a set is keyed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// An address.
    Address(Family),
    /// Two addresses: `saddr . daddr`.
    Pair(Family),
    /// Protocol and port.
    Port,
    /// Address, protocol and port.
    PeerPort(Family),
    /// A mark.
    Mark,
}

impl Key {
    /// The nft types that are concatenated in this key.
    pub const fn types(self) -> &'static [&'static str] {
        match self {
            Self::Address(Family::V4) => &["ipv4_addr"],
            Self::Address(Family::V6) => &["ipv6_addr"],
            Self::Pair(Family::V4) => &["ipv4_addr", "ipv4_addr"],
            Self::Pair(Family::V6) => &["ipv6_addr", "ipv6_addr"],
            Self::Port => &["inet_proto", "inet_service"],
            Self::PeerPort(Family::V4) => &["ipv4_addr", "inet_proto", "inet_service"],
            Self::PeerPort(Family::V6) => &["ipv6_addr", "inet_proto", "inet_service"],
            Self::Mark => &["mark"],
        }
    }

    /// How many elements a set with this key can hold; `None` where there is no limit. With a limit the kernel takes
    /// the cheapest of its hashes, which does not grow; it has room for a mark and those of a transaction in progress.
    pub const fn room(self) -> Option<u32> {
        match self {
            Self::Mark => Some(16),
            Self::Address(_) | Self::Pair(_) | Self::Port | Self::PeerPort(_) => None,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.types().join(" . "))
    }
}

/// A range of ports of one protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolPorts {
    /// The protocol.
    pub protocol: Protocol,
    /// Its ports.
    pub ports: PortRange,
}

/// A box of addresses and ports: every address may use every port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerPorts {
    /// The peer's addresses.
    pub peer: AddressRange,
    /// The protocol.
    pub protocol: Protocol,
    /// Its ports.
    pub ports: PortRange,
}

/// One element of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// An address or, in an interval set, a range.
    Address(AddressRange),
    /// Two addresses of one family.
    Pair(IpAddr, IpAddr),
    /// A protocol with a port or, in an interval set, a range.
    Port(ProtocolPorts),
    /// An address, a protocol and a port; in an interval set ranges of them.
    PeerPort(PeerPorts),
    /// A mark.
    Mark(u32),
}

impl Element {
    /// The key of a set that can hold this element.
    pub const fn key(&self) -> Key {
        match self {
            Self::Address(range) => Key::Address(range.family()),
            Self::Pair(first, _) => Key::Pair(Family::of(*first)),
            Self::Port(_) => Key::Port,
            Self::PeerPort(part) => Key::PeerPort(part.peer.family()),
            Self::Mark(_) => Key::Mark,
        }
    }

    /// Whether a hash set can hold the element: no part of it is a range.
    pub fn is_exact(&self) -> bool {
        match self {
            Self::Address(range) => range.is_single(),
            Self::Pair(..) | Self::Mark(_) => true,
            Self::Port(part) => part.ports.is_single(),
            Self::PeerPort(part) => part.peer.is_single() && part.ports.is_single(),
        }
    }

    /// Whether some packet matches both elements.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Address(a), Self::Address(b)) => a.overlaps(*b),
            (Self::Pair(..), Self::Pair(..)) | (Self::Mark(_), Self::Mark(_)) => self == other,
            (Self::Port(a), Self::Port(b)) => a.protocol == b.protocol && a.ports.overlaps(b.ports),
            (Self::PeerPort(a), Self::PeerPort(b)) => {
                a.protocol == b.protocol && a.ports.overlaps(b.ports) && a.peer.overlaps(b.peer)
            }
            _ => false,
        }
    }

    /// Whether every packet that matches the other element in a class chain matches this one: an
    /// address alone stands for all ports, a port alone for all peers.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let range =
            |a: AddressRange, b: AddressRange| a.contains(b.first()) && a.contains(b.last());
        let ports = |a: PortRange, b: PortRange| a.contains(b.first()) && a.contains(b.last());
        match (self, other) {
            (Self::Address(a), Self::Address(b)) => range(*a, *b),
            (Self::Address(a), Self::PeerPort(b)) => range(*a, b.peer),
            (Self::Port(a), Self::Port(b)) => a.protocol == b.protocol && ports(a.ports, b.ports),
            (Self::Port(a), Self::PeerPort(b)) => {
                a.protocol == b.protocol && ports(a.ports, b.ports)
            }
            (Self::PeerPort(a), Self::PeerPort(b)) => {
                a.protocol == b.protocol && ports(a.ports, b.ports) && range(a.peer, b.peer)
            }
            _ => self == other,
        }
    }

    /// Whether some packet may match both elements in a class chain, whatever their keys.
    pub(crate) fn touches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Address(a), Self::PeerPort(b)) | (Self::PeerPort(b), Self::Address(a)) => {
                a.overlaps(b.peer)
            }
            (Self::Port(a), Self::PeerPort(b)) | (Self::PeerPort(b), Self::Port(a)) => {
                a.protocol == b.protocol && a.ports.overlaps(b.ports)
            }
            (Self::Address(_), Self::Port(_)) | (Self::Port(_), Self::Address(_)) => true,
            _ => self.overlaps(other),
        }
    }

    /// The peers that the element is about; `None` when it is not about peers.
    pub(crate) fn peers(&self) -> Option<AddressRange> {
        match self {
            Self::Address(range) => Some(*range),
            Self::PeerPort(part) => Some(part.peer),
            Self::Pair(..) | Self::Port(_) | Self::Mark(_) => None,
        }
    }

    /// The one peer that the element is about, if it is about one.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        let peers = self.peers().filter(|peers| peers.is_single());
        peers.map(AddressRange::first)
    }

    /// Where the element begins and ends in the order of its set; elements that overlap do so in
    /// this order too.
    fn extent(&self) -> (Element, Element) {
        match self {
            Self::Address(range) => (
                Self::Address(AddressRange::single(range.first())),
                Self::Address(AddressRange::single(range.last())),
            ),
            Self::Pair(..) | Self::Mark(_) => (*self, *self),
            Self::Port(part) => {
                let at = |port| {
                    let ports = PortRange::single(port);
                    Self::Port(ProtocolPorts {
                        protocol: part.protocol,
                        ports,
                    })
                };
                (at(part.ports.first()), at(part.ports.last()))
            }
            Self::PeerPort(part) => Self::Address(part.peer).extent(),
        }
    }
}

/// The first two elements of the set that some packet matches both, if there are any.
///
/// The kernel refuses overlapping elements only in part: over `10.0.0.0/8 . 80-90` it accepts
/// `10.1.0.0/16 . 1-200` (kernel 6.18), and what a lookup then finds depends on the order of
/// insertion. So whoever fills a set keeps the boxes disjoint.
pub fn overlap(elements: &BTreeSet<Element>) -> Option<(Element, Element)> {
    let mut open: Vec<(Element, Element)> = Vec::new();
    for element in elements {
        let (first, last) = element.extent();
        open.retain(|(_, end)| *end >= first);
        if let Some((other, _)) = open.iter().find(|(other, _)| other.overlaps(element)) {
            return Some((*other, *element));
        }
        open.push((*element, last));
    }
    None
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(range) => range.fmt(f),
            Self::Pair(first, second) => write!(f, "{first} . {second}"),
            Self::Port(part) => part.fmt(f),
            Self::PeerPort(part) => write!(f, "{} . {} . {}", part.peer, part.protocol, part.ports),
            Self::Mark(mark) => write!(f, "{mark:#010x}"),
        }
    }
}

impl fmt::Display for ProtocolPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} . {}", self.protocol, self.ports)
    }
}

impl Serialize for Element {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Address(range) => range.serialize(serializer),
            Self::Pair(first, second) => concat(serializer, &(first, second)),
            Self::Port(part) => concat(serializer, &(part.protocol, part.ports)),
            Self::PeerPort(part) => concat(serializer, &(part.peer, part.protocol, part.ports)),
            Self::Mark(mark) => serializer.serialize_u32(*mark),
        }
    }
}

fn concat<S: Serializer>(serializer: S, parts: &impl Serialize) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry("concat", parts)?;
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str, length: u8, ports: (u16, u16)) -> Element {
        Element::PeerPort(PeerPorts {
            peer: AddressRange::prefix(address.parse().unwrap(), length).unwrap(),
            protocol: Protocol::Tcp,
            ports: PortRange::new(ports.0, ports.1).unwrap(),
        })
    }

    #[test]
    fn boxes_overlap_only_where_addresses_and_ports_do() {
        let wide = peer("10.0.0.0", 8, (80, 90));
        let narrow = peer("10.1.0.0", 16, (1, 200));
        let beside = peer("10.1.0.0", 16, (91, 200));
        assert_eq!(
            overlap(&BTreeSet::from([wide, narrow])),
            Some((wide, narrow))
        );
        assert_eq!(overlap(&BTreeSet::from([wide, beside])), None);
    }

    #[test]
    fn an_overlap_is_found_behind_elements_in_between() {
        let wide = peer("10.0.0.0", 8, (80, 90));
        let elements = BTreeSet::from([
            wide,
            peer("10.1.0.0", 16, (1, 79)),
            peer("10.2.0.0", 16, (91, 99)),
            peer("10.3.0.0", 16, (90, 99)),
            peer("11.0.0.0", 8, (80, 90)),
        ]);
        assert_eq!(
            overlap(&elements),
            Some((wide, peer("10.3.0.0", 16, (90, 99))))
        );
    }

    #[test]
    fn an_element_serialises_as_nft_reads_it() {
        let json = |element: &Element| serde_json::to_string(element).unwrap();
        assert_eq!(
            json(&peer("10.0.0.0", 8, (80, 90))),
            r#"{"concat":[{"range":["10.0.0.0","10.255.255.255"]},6,{"range":[80,90]}]}"#
        );
        assert_eq!(
            json(&peer("fd00::1", 128, (80, 80))),
            r#"{"concat":["fd00::1",6,80]}"#
        );
    }
}
