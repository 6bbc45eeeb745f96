//! Exact sets of destination ports, for each protocol, and "every other protocol".

use crate::flow::{FlowPort, Protocol};
use crate::range_set::RangeSet;
use std::fmt;

/// What a grant admits: ports of TCP, UDP and SCTP, and whether protocols without ports (ICMP and the rest) pass.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PortSet {
    tcp: RangeSet<u16>,
    udp: RangeSet<u16>,
    sctp: RangeSet<u16>,
    other: bool,
}

impl PortSet {
    /// No port of any protocol.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every port of every protocol, and every protocol without ports.
    #[must_use]
    pub fn all() -> Self {
        let full = RangeSet::full;
        Self {
            tcp: full(),
            udp: full(),
            sctp: full(),
            other: true,
        }
    }

    /// The ports from `first` to `last` of one protocol, both ends included.
    #[must_use]
    pub fn range(protocol: Protocol, first: u16, last: u16) -> Self {
        let mut set = Self::default();
        *set.ports_mut(protocol) = RangeSet::range(first, last);
        set
    }

    /// Whether nothing passes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether everything passes.
    pub fn is_all(&self) -> bool {
        self.other
            && Protocol::ALL
                .iter()
                .all(|&protocol| self.ports(protocol).is_full())
    }

    /// The ports of one protocol.
    pub fn ports(&self, protocol: Protocol) -> &RangeSet<u16> {
        match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
            Protocol::Sctp => &self.sctp,
        }
    }

    /// Whether protocols other than TCP, UDP and SCTP pass.
    pub fn allows_other(&self) -> bool {
        self.other
    }

    /// Whether `port` is in the set.
    pub fn contains(&self, port: FlowPort) -> bool {
        match port {
            FlowPort::Port(protocol, number) => self.ports(protocol).contains(number),
            FlowPort::Other => self.other,
        }
    }

    /// Whether everything that `other` admits is admitted here.
    pub fn contains_all(&self, other: &Self) -> bool {
        (self.other || !other.other)
            && Protocol::ALL
                .iter()
                .all(|&protocol| self.ports(protocol).contains_all(other.ports(protocol)))
    }

    /// What either set admits.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.combine(other, RangeSet::union, |a, b| a || b)
    }

    /// What both sets admit.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(other, RangeSet::intersection, |a, b| a && b)
    }

    /// What this set admits and `other` does not.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(other, RangeSet::difference, |a, b| a && !b)
    }

    fn combine(
        &self,
        other: &Self,
        ports: impl Fn(&RangeSet<u16>, &RangeSet<u16>) -> RangeSet<u16>,
        rest: impl Fn(bool, bool) -> bool,
    ) -> Self {
        Self {
            tcp: ports(&self.tcp, &other.tcp),
            udp: ports(&self.udp, &other.udp),
            sctp: ports(&self.sctp, &other.sctp),
            other: rest(self.other, other.other),
        }
    }

    fn ports_mut(&mut self, protocol: Protocol) -> &mut RangeSet<u16> {
        match protocol {
            Protocol::Tcp => &mut self.tcp,
            Protocol::Udp => &mut self.udp,
            Protocol::Sctp => &mut self.sctp,
        }
    }
}

impl FromIterator<(Protocol, u16, u16)> for PortSet {
    /// The union of port ranges: protocol, first and last port.
    fn from_iter<I: IntoIterator<Item = (Protocol, u16, u16)>>(ranges: I) -> Self {
        let ranges: Vec<_> = ranges.into_iter().collect();
        let mut set = Self::default();
        for protocol in Protocol::ALL {
            let own = ranges.iter().filter(|range| range.0 == protocol);
            *set.ports_mut(protocol) = own.map(|&(_, first, last)| (first, last)).collect();
        }
        set
    }
}

impl fmt::Display for PortSet {
    /// `all`, `none`, or for each protocol its ports: `TCP 80-90,8080; UDP all; other protocols`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("all");
        }
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut parts: Vec<String> = Protocol::ALL
            .iter()
            .filter(|&&protocol| !self.ports(protocol).is_empty())
            .map(|&protocol| format!("{protocol} {}", port_ranges(self.ports(protocol))))
            .collect();
        if self.other {
            parts.push("other protocols".to_owned());
        }
        f.write_str(&parts.join("; "))
    }
}

/// The ports as `80-90,8080`, or `all`.
pub fn port_ranges(ports: &RangeSet<u16>) -> String {
    if ports.is_full() {
        "all".to_owned()
    } else {
        numeric_ranges(ports)
    }
}

/// The ports as `80-90,8080`; every port is `1-65535`, because nobody listens on port 0.
pub fn numeric_ranges(ports: &RangeSet<u16>) -> String {
    let usable = ports.intersection(&RangeSet::range(1, u16::MAX));
    let texts: Vec<String> = usable
        .ranges()
        .iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect();
    texts.join(",")
}
