//! Link-local IPv6 between two ports of one bridge.
//!
//! Every interface has such an address, no API tells it, and no router forwards packets with one: so the only ones that
//! come to the hook go from pod to pod over a bridge that calls netfilter. Their addresses lead to no class, and a pod that
//! policies isolate could be reached by them, or reach others, past every rule.
//!
//! Nobody can say which pod such an address is, so they are denied while the node has an isolated pod at all, and
//! not otherwise: where no policy isolates, everything passes. Neighbour discovery is accepted before.

use std::net::{IpAddr, Ipv6Addr};

use crate::element::{Element, Key};
use crate::layout::{daddr, saddr};
use crate::names::{LINK_LOCAL, Name};
use crate::ruleset::Set;
use crate::statement::Rule;
use crate::value::{AddressRange, Family};
use crate::vocabulary::{in_set, return_to_caller};

/// The kind of the set of closed ranges: intervals of addresses.
pub(crate) const KIND: (bool, Key) = (true, Key::Address(Family::V6));

/// `fe80::/10`, as RFC 4291 has it.
pub(crate) fn range() -> Element {
    let prefix = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0));
    Element::Address(AddressRange::prefix(prefix, 10).expect("IPv6 has 128 bits"))
}

/// The set, which is always there; it holds the range while the node has isolated pods.
pub(crate) fn set(is_closed: bool) -> Set {
    let (interval, key) = KIND;
    let mut set = Set::new(key, interval);
    set.elements.extend(is_closed.then(range));
    set
}

/// The rules of `classify`. A packet that they return comes back behind the jump to it, where it is denied.
pub(crate) fn rules() -> [Rule; 2] {
    [saddr(Family::V6), daddr(Family::V6)]
        .map(|end| Rule::new([in_set([end], &Name::fixed(LINK_LOCAL)), return_to_caller()]))
}
