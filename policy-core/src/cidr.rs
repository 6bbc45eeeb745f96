//! One strict CIDR, as today's API server accepts it, and the older spellings that clusters still hold.

use ipnetwork::IpNetwork;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network: an address without host bits, and a prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(IpNetwork);

/// A CIDR as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The network that the text is read as.
    pub cidr: Cidr,
    /// Whether only older API servers accepted the spelling (leading zeros, IPv4-mapped, host bits set).
    pub legacy: bool,
}

impl Cidr {
    /// The network of `prefix` bits that holds `address`.
    ///
    /// # Panics
    /// When `prefix` is longer than the family's addresses (32 or 128 bits).
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        let within = IpNetwork::new(address, prefix).expect("a prefix of the address's family");
        let network =
            IpNetwork::new(within.network(), prefix).expect("a prefix of the address's family");
        Self(network)
    }

    /// Reads `address/prefix`, strictly or in a legacy spelling; `None` when no API server ever accepted it.
    ///
    /// Legacy spellings are read as Go's sloppy parser reads them: leading zeros are decimal, host bits are dropped,
    /// and an IPv4-mapped network of at least 96 bits is its IPv4 network (semantics, rule 15).
    pub fn parse(text: &str) -> Option<Written> {
        let (address, prefix) = text.split_once('/')?;
        let bits = decimal(prefix, 3)?;
        let (address, padded) = match address.parse::<IpAddr>() {
            Ok(address) => (address, false),
            Err(_) => (IpAddr::V4(zero_padded(address)?), true),
        };
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = u8::try_from(bits).ok().filter(|&bits| bits <= width)?;
        let (network, mapped) = match address {
            IpAddr::V6(v6) if bits >= 96 => match v6.to_ipv4_mapped() {
                Some(v4) => (Self::new(v4.into(), bits - 96), true),
                None => (Self::new(address, bits), false),
            },
            _ => (Self::new(address, bits), false),
        };
        let legacy = padded
            || mapped
            || is_mapped(address)
            || network.0.ip() != address
            || (prefix.len() > 1 && prefix.starts_with('0'));
        Some(Written {
            cidr: network,
            legacy,
        })
    }

    /// The prefix length.
    pub fn prefix(&self) -> u8 {
        self.0.prefix()
    }

    /// The network's first and last address.
    pub fn range(&self) -> (IpAddr, IpAddr) {
        match self.0 {
            IpNetwork::V4(network) => (network.network().into(), network.broadcast().into()),
            IpNetwork::V6(network) => (network.network().into(), network.broadcast().into()),
        }
    }

    /// Whether `address` is of this family and in this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(address)
    }

    /// Whether `other` is a smaller network within this one: what the API server wants of `except`
    /// (`!contains || cidrMask >= exceptMask` is refused).
    pub fn strictly_contains(&self, other: &Cidr) -> bool {
        self.0.contains(other.0.ip()) && self.prefix() < other.prefix()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if Ipv6Addr::to_ipv4_mapped(&v6).is_some())
}

/// A dotted quad whose parts may have leading zeros, read as decimal.
fn zero_padded(text: &str) -> Option<Ipv4Addr> {
    let mut parts = text.split('.').map(|part| decimal(part, 255));
    let mut octets = [0; 4];
    for octet in &mut octets {
        *octet = u8::try_from(parts.next()??).ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// Digits alone, at most `most_digits` of them, as a number.
fn decimal(text: &str, most_digits: usize) -> Option<u32> {
    let digits = !text.is_empty()
        && text.len() <= most_digits
        && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}
