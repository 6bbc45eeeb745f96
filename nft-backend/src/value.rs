//! The typed values that set elements are made of: addresses, protocols, ports, and ranges of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Serialize, Serializer};

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families, in the order in which rules are written.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of one address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// All addresses of the family from this one on.
    pub(crate) fn onwards(self, first: IpAddr) -> AddressRange {
        let last = address_of(self, u128::MAX);
        AddressRange { first, last }
    }

    /// The digit that ends the name of an object of this family: `4` or `6`.
    pub const fn digit(self) -> char {
        match self {
            Self::V4 => '4',
            Self::V6 => '6',
        }
    }
}

/// A transport protocol whose ports a policy can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, protocol number 6.
    Tcp,
    /// UDP, protocol number 17.
    Udp,
    /// SCTP, protocol number 132.
    Sctp,
}

impl Protocol {
    /// The IP protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// The protocol with this number, if it is one of the three.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            132 => Some(Self::Sctp),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// Serialises as the number: nft would look a name up in `/etc/protocols`, which a small
/// container image does not have.
impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

/// A range of ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Every port.
    pub const ALL: Self = Self {
        first: 0,
        last: u16::MAX,
    };

    /// The range from `first` to `last`, or nothing when they are the wrong way round.
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if first <= last {
            Some(Self { first, last })
        } else {
            None
        }
    }

    /// One port.
    pub const fn single(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }

    /// The first port.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The last port.
    pub const fn last(self) -> u16 {
        self.last
    }

    /// Whether the range is one port, which a hash set can hold.
    pub const fn is_single(self) -> bool {
        self.first == self.last
    }

    /// Whether the range holds the port.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// Whether the two ranges share a port.
    pub const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single() {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_single() {
            serializer.serialize_u16(self.first)
        } else {
            Bounds {
                range: (self.first, self.last),
            }
            .serialize(serializer)
        }
    }
}

/// A range of addresses of one family, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

impl AddressRange {
    /// The range from `first` to `last`, or nothing when they are the wrong way round or of two
    /// families.
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        (Family::of(first) == Family::of(last) && first <= last).then_some(Self { first, last })
    }

    /// One address.
    pub const fn single(address: IpAddr) -> Self {
        Self {
            first: address,
            last: address,
        }
    }

    /// The addresses that share the first `length` bits with `address`; nothing when the family
    /// has fewer bits.
    pub fn prefix(address: IpAddr, length: u8) -> Option<Self> {
        let width = width(address);
        if length > width {
            return None;
        }
        let host = low_bits(u32::from(width - length));
        let bits = bits(address);
        let family = Family::of(address);
        Some(Self {
            first: address_of(family, bits & !host),
            last: address_of(family, bits | host),
        })
    }

    /// The first address.
    pub const fn first(self) -> IpAddr {
        self.first
    }

    /// The last address.
    pub const fn last(self) -> IpAddr {
        self.last
    }

    /// The family of both ends.
    pub const fn family(self) -> Family {
        Family::of(self.first)
    }

    /// Whether the range is one address, which a hash set can hold.
    pub fn is_single(self) -> bool {
        self.first == self.last
    }

    /// Whether the range holds the address.
    pub fn contains(self, address: IpAddr) -> bool {
        Family::of(address) == self.family() && self.first <= address && address <= self.last
    }

    /// Whether the two ranges share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.family() == other.family() && self.first <= other.last && other.first <= self.last
    }

    /// The length of the prefix that is exactly this range, if there is one.
    fn prefix_length(self) -> Option<u8> {
        let differing = bits(self.first) ^ bits(self.last);
        let host = 128 - differing.leading_zeros();
        let is_prefix = differing == low_bits(host) && bits(self.first) & differing == 0;
        is_prefix.then(|| width(self.first) - u8::try_from(host).unwrap_or(width(self.first)))
    }
}

/// Prints an address, a prefix (`10.0.0.0/8`) or, where no prefix fits, `first-last`.
impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single() {
            write!(f, "{}", self.first)
        } else if let Some(length) = self.prefix_length() {
            write!(f, "{}/{length}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl Serialize for AddressRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_single() {
            self.first.serialize(serializer)
        } else {
            Bounds {
                range: (self.first, self.last),
            }
            .serialize(serializer)
        }
    }
}

/// The form `{"range": [first, last]}` of nft's JSON.
#[derive(Serialize)]
struct Bounds<T> {
    range: (T, T),
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address with these bits; an IPv4 address takes the low 32.
fn address_of(family: Family, bits: u128) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits((bits & 0xffff_ffff) as u32).into(),
        Family::V6 => Ipv6Addr::from_bits(bits).into(),
    }
}

fn low_bits(count: u32) -> u128 {
    1_u128.checked_shl(count).map_or(u128::MAX, |bit| bit - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(address: &str, length: u8) -> AddressRange {
        AddressRange::prefix(address.parse().unwrap(), length).unwrap()
    }

    #[test]
    fn a_prefix_prints_as_it_was_made() {
        for (address, length) in [("10.0.0.0", 8), ("0.0.0.0", 0), ("fd00:1::", 64), ("::", 0)] {
            assert_eq!(
                prefix(address, length).to_string(),
                format!("{address}/{length}")
            );
        }
        assert_eq!(prefix("10.0.0.1", 32).to_string(), "10.0.0.1");
        assert_eq!(prefix("10.1.2.3", 8).to_string(), "10.0.0.0/8");
    }

    #[test]
    fn a_range_that_is_no_prefix_prints_both_ends() {
        let range = |first: &str, last: &str| {
            AddressRange::new(first.parse().unwrap(), last.parse().unwrap())
                .unwrap()
                .to_string()
        };
        assert_eq!(range("10.3.0.0", "10.3.8.255"), "10.3.0.0-10.3.8.255");
        assert_eq!(range("10.0.0.1", "10.0.0.2"), "10.0.0.1-10.0.0.2");
        assert_eq!(range("10.0.0.2", "10.0.0.5"), "10.0.0.2-10.0.0.5");
    }

    #[test]
    fn ends_of_two_families_or_the_wrong_way_round_make_no_range() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(AddressRange::new(ip("10.0.0.1"), ip("::1")), None);
        assert_eq!(AddressRange::new(ip("10.0.0.2"), ip("10.0.0.1")), None);
        assert_eq!(AddressRange::prefix(ip("10.0.0.1"), 33), None);
        assert_eq!(PortRange::new(2, 1), None);
    }

    #[test]
    fn an_ipv4_range_holds_no_ipv6_address() {
        assert!(!prefix("0.0.0.0", 0).contains("::1".parse().unwrap()));
        assert!(!prefix("0.0.0.0", 0).overlaps(prefix("::", 0)));
    }
}
