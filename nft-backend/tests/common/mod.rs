//! What several tests need: the sample node, and a network namespace of its own.
#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use nft_backend::class::{Class, Classes, Dispatch, Grant, Ports};
use nft_backend::element::{PeerPorts, ProtocolPorts};
use nft_backend::names::Label;
use nft_backend::value::{AddressRange, PortRange, Protocol};

pub(crate) mod case;
pub(crate) mod events;
pub(crate) mod flows;
pub(crate) mod grants;
pub(crate) mod judge;
pub(crate) mod kinds;
pub(crate) mod log;
pub(crate) mod mutation;
pub(crate) mod neighbours;
pub(crate) mod netns;
pub(crate) mod pair;
pub(crate) mod places;
pub(crate) mod proxy;
pub(crate) mod shared;
pub(crate) mod split;
pub(crate) mod watched;
pub(crate) mod ways;
pub(crate) mod wire;
pub(crate) mod wired;

/// Two local pods and two policies, in both families:
///
/// - web (`10.1.0.2`, `fd00:1::2`) is isolated in both directions. In: `10.3.0.0/16` except
///   `10.3.9.0/24`, and `fd00:3::/64` except `fd00:3::9:0/112`, on TCP 8080 and 30000-30010.
///   Out: db on TCP 5432 and SCTP 3868, anybody on UDP and TCP 53.
/// - db (`10.2.0.2`, `fd00:2::2`) is isolated for ingress. In: web on TCP 5432 and SCTP 3868.
pub(crate) fn sample() -> Classes {
    let web_ports = [(Protocol::Tcp, 8080, 8080), (Protocol::Tcp, 30000, 30010)];
    let db_ports = [(Protocol::Tcp, 5432, 5432), (Protocol::Sctp, 3868, 3868)];
    let blocks = [
        range("10.3.0.0", "10.3.8.255"),
        range("10.3.10.0", "10.3.255.255"),
        range("fd00:3::", "fd00:3::8:ffff"),
        range("fd00:3::a:0", "fd00:3::ffff:ffff:ffff:ffff"),
    ];
    let ingress_web = class(
        &["pods shop/web", "policies shop/web"],
        [Grant::PeerPorts(boxes(&blocks, &web_ports))],
    );
    let ingress_db = class(
        &["pods shop/db", "policies shop/db"],
        [Grant::PeerPorts(boxes(
            &[single("10.1.0.2"), single("fd00:1::2")],
            &db_ports,
        ))],
    );
    let dns = BTreeSet::from([port(Protocol::Udp, 53), port(Protocol::Tcp, 53)]);
    let egress_web = class(
        &["pods shop/web", "policies shop/web"],
        [
            Grant::Everyone(Ports::Only(dns)),
            Grant::PeerPorts(boxes(&[single("10.2.0.2"), single("fd00:2::2")], &db_ports)),
        ],
    );
    let (web, db) = (label("web"), label("db"));
    let both = Dispatch {
        ingress: Some(web.clone()),
        egress: Some(web.clone()),
    };
    let ingress_only = Dispatch {
        ingress: Some(db.clone()),
        egress: None,
    };
    Classes {
        shared_peers: BTreeMap::new(),
        ingress: BTreeMap::from([(web.clone(), ingress_web), (db, ingress_db)]),
        egress: BTreeMap::from([(web, egress_web)]),
        pods: BTreeMap::from([
            (ip("10.1.0.2"), both.clone()),
            (ip("fd00:1::2"), both),
            (ip("10.2.0.2"), ingress_only.clone()),
            (ip("fd00:2::2"), ingress_only),
        ]),
    }
}

/// What differs between two texts, line by line; nothing when they are the same.
pub(crate) fn difference(expected: &str, found: &str) -> String {
    let diff = similar::TextDiff::from_lines(expected, found);
    let mut lines = diff.unified_diff();
    lines.header("expected", "found").to_string()
}

pub(crate) fn class(comment: &[&str], grants: impl IntoIterator<Item = Grant>) -> Class {
    let comment = comment.iter().map(ToString::to_string).collect();
    Class {
        audited: false,
        counted: Vec::new(),
        grants: grants.into_iter().collect(),
        comment,
    }
}

pub(crate) fn boxes(peers: &[AddressRange], ports: &[(Protocol, u16, u16)]) -> BTreeSet<PeerPorts> {
    let with_ports = |peer: &AddressRange| {
        let peer = *peer;
        ports.iter().map(move |(protocol, first, last)| PeerPorts {
            peer,
            protocol: *protocol,
            ports: PortRange::new(*first, *last).unwrap(),
        })
    };
    peers.iter().flat_map(with_ports).collect()
}

pub(crate) fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn single(address: &str) -> AddressRange {
    AddressRange::single(ip(address))
}

pub(crate) fn range(first: &str, last: &str) -> AddressRange {
    AddressRange::new(ip(first), ip(last)).unwrap()
}

pub(crate) fn port(protocol: Protocol, port: u16) -> ProtocolPorts {
    ProtocolPorts {
        protocol,
        ports: PortRange::single(port),
    }
}
