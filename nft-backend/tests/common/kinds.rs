//! A set of each kind, with elements at the edges of what it can hold.

use std::collections::BTreeSet;

use nft_backend::element::{Element, Key, ProtocolPorts};
use nft_backend::value::{AddressRange, Family, PortRange, Protocol};

use super::{boxes, ip, port, range, single};

/// Name, key, whether elements may be ranges, and elements.
pub(crate) type Made = (&'static str, Key, bool, BTreeSet<Element>);

/// A set of each kind.
pub(crate) fn sets() -> Vec<Made> {
    [hash_sets(), address_intervals(), port_intervals()].concat()
}

fn hash_sets() -> Vec<Made> {
    let ports = [
        (Protocol::Tcp, 80, 80),
        (Protocol::Sctp, 65535, 65535),
        (Protocol::Udp, 0, 0),
    ];
    let addresses = |all: [&str; 2]| all.map(|text| Element::Address(single(text))).into();
    let pair = |a, b| [Element::Pair(ip(a), ip(b))].into();
    let (v4, v6) = (Family::V4, Family::V6);
    let any = ports.map(|(protocol, number, _)| Element::Port(port(protocol, number)));
    let [h4, h6] = ["10.0.0.1", "fd00::1"].map(|peer| peer_ports(&[single(peer)], &ports));
    let pairs = [pair("10.0.0.1", "10.0.0.2"), pair("fd00::1", "fd00::2")];
    let [s4, s6] = pairs;
    let a4 = addresses(["0.0.0.0", "255.255.255.255"]);
    vec![
        ("s_a4", Key::Address(v4), false, a4),
        (
            "s_a6",
            Key::Address(v6),
            false,
            addresses(["::", "fd00::1"]),
        ),
        ("s_s4", Key::Pair(v4), false, s4),
        ("s_s6", Key::Pair(v6), false, s6),
        ("s_any", Key::Port, false, any.into()),
        ("s_h4", Key::PeerPort(v4), false, h4),
        ("s_h6", Key::PeerPort(v6), false, h6),
    ]
}

fn address_intervals() -> Vec<Made> {
    let (v4, v6) = (Key::Address(Family::V4), Key::Address(Family::V6));
    let b4 = [
        prefix("0.0.0.0", 8),
        Element::Address(single("10.0.0.1")),
        Element::Address(range("10.3.0.0", "10.3.0.6")),
        Element::Address(range("10.3.0.7", "10.3.0.9")),
        prefix("255.0.0.0", 8),
    ];
    vec![
        ("s_b4", v4, true, b4.into()),
        (
            "s_b6",
            v6,
            true,
            [prefix("::", 64), prefix("ff00::", 8)].into(),
        ),
        ("s_w4", v4, true, [prefix("0.0.0.0", 0)].into()),
        ("s_w6", v6, true, [prefix("::", 0)].into()),
    ]
}

fn port_intervals() -> Vec<Made> {
    let ports = [
        (Protocol::Tcp, 0, 65535),
        (Protocol::Udp, 1, 2),
        (Protocol::Sctp, 7, 7),
    ];
    let anyr = ports.map(|(protocol, first, last)| {
        let ports = PortRange::new(first, last).unwrap();
        Element::Port(ProtocolPorts { protocol, ports })
    });
    let r4 = peer_ports(&[range("10.0.0.0", "10.0.0.6"), single("10.0.0.9")], &ports);
    let r6 = peer_ports(&[range("::", "ff::")], &ports);
    vec![
        ("s_anyr", Key::Port, true, anyr.into()),
        ("s_r4", Key::PeerPort(Family::V4), true, r4),
        ("s_r6", Key::PeerPort(Family::V6), true, r6),
    ]
}

fn peer_ports(peers: &[AddressRange], ports: &[(Protocol, u16, u16)]) -> BTreeSet<Element> {
    let boxes = boxes(peers, ports).into_iter();
    boxes.map(Element::PeerPort).collect()
}

/// The addresses of a block.
pub(crate) fn prefix(address: &str, length: u8) -> Element {
    Element::Address(AddressRange::prefix(ip(address), length).unwrap())
}
