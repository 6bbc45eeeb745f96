//! Exact sets of IPv4 and IPv6 addresses.

use crate::cidr::Cidr;
use crate::range_set::RangeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A set of addresses. The two families never mix: `0.0.0.0/0` says nothing of IPv6 (semantics, rule 15).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct IpSet {
    /// The IPv4 addresses, as numbers in host order.
    pub v4: RangeSet<u32>,
    /// The IPv6 addresses, as numbers in host order.
    pub v6: RangeSet<u128>,
}

impl IpSet {
    /// No address.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every address of both families.
    #[must_use]
    pub fn full() -> Self {
        Self {
            v4: RangeSet::full(),
            v6: RangeSet::full(),
        }
    }

    /// Whether no address is in the set.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether `address` is in the set.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.contains(address.to_bits()),
            IpAddr::V6(address) => self.v6.contains(address.to_bits()),
        }
    }

    /// Whether every address of `other` is in this set.
    pub fn contains_all(&self, other: &Self) -> bool {
        self.v4.contains_all(&other.v4) && self.v6.contains_all(&other.v6)
    }

    /// The addresses in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            v4: self.v4.union(&other.v4),
            v6: self.v6.union(&other.v6),
        }
    }

    /// The addresses in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self {
            v4: self.v4.intersection(&other.v4),
            v6: self.v6.intersection(&other.v6),
        }
    }

    /// The addresses of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self {
            v4: self.v4.difference(&other.v4),
            v6: self.v6.difference(&other.v6),
        }
    }

    /// The set's ranges, both ends included, IPv4 first, in ascending order.
    pub fn ranges(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        let v4 = self.v4.ranges().iter().map(|&(first, last)| {
            (
                Ipv4Addr::from_bits(first).into(),
                Ipv4Addr::from_bits(last).into(),
            )
        });
        let v6 = self.v6.ranges().iter().map(|&(first, last)| {
            (
                Ipv6Addr::from_bits(first).into(),
                Ipv6Addr::from_bits(last).into(),
            )
        });
        v4.chain(v6)
    }

    /// The fewest CIDRs that make up the set, IPv4 first, in ascending order.
    pub fn cidrs(&self) -> Vec<Cidr> {
        let v4 = self.v4.ranges().iter().flat_map(|&(first, last)| {
            blocks(u128::from(first), u128::from(last), 32)
                .into_iter()
                .map(|(start, prefix)| {
                    #[allow(clippy::cast_possible_truncation, reason = "from a 32-bit range")]
                    let start = start as u32;
                    Cidr::new(Ipv4Addr::from_bits(start).into(), prefix)
                })
        });
        let v6 = self.v6.ranges().iter().flat_map(|&(first, last)| {
            blocks(first, last, 128)
                .into_iter()
                .map(|(start, prefix)| Cidr::new(Ipv6Addr::from_bits(start).into(), prefix))
        });
        v4.chain(v6).collect()
    }
}

impl From<Cidr> for IpSet {
    fn from(cidr: Cidr) -> Self {
        std::iter::once(cidr).collect()
    }
}

impl FromIterator<IpAddr> for IpSet {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for address in addresses {
            match address {
                IpAddr::V4(address) => v4.push((address.to_bits(), address.to_bits())),
                IpAddr::V6(address) => v6.push((address.to_bits(), address.to_bits())),
            }
        }
        Self {
            v4: v4.into_iter().collect(),
            v6: v6.into_iter().collect(),
        }
    }
}

impl FromIterator<Cidr> for IpSet {
    fn from_iter<I: IntoIterator<Item = Cidr>>(cidrs: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for cidr in cidrs {
            match cidr.range() {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first.to_bits(), last.to_bits())),
                (IpAddr::V6(first), IpAddr::V6(last)) => v6.push((first.to_bits(), last.to_bits())),
                _ => unreachable!("both ends of a block are of one family"),
            }
        }
        Self {
            v4: v4.into_iter().collect(),
            v6: v6.into_iter().collect(),
        }
    }
}

/// Cuts `first..=last` of a `width`-bit family into aligned blocks: (network, prefix length).
fn blocks(first: u128, last: u128, width: u8) -> Vec<(u128, u8)> {
    let mut blocks = Vec::new();
    let mut start = first;
    loop {
        let alignment = start.trailing_zeros().min(u32::from(width));
        let fitting = match (last - start).checked_add(1) {
            Some(size) => size.ilog2(),
            None => 128,
        };
        let bits = alignment.min(fitting);
        #[allow(clippy::cast_possible_truncation, reason = "at most 128 bits")]
        let prefix = width - bits as u8;
        blocks.push((start, prefix));
        let end = if bits == 128 {
            u128::MAX
        } else {
            start + ((1 << bits) - 1)
        };
        if end >= last {
            return blocks;
        }
        start = end + 1;
    }
}
