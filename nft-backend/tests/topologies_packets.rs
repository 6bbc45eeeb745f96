//! Packets that are not like others, in every wiring that the rules can hold in: fragments, and ICMP errors of flows and
//! of none. `beside.rs` does the same for routed pods. Needs root, nft, ip and the reference CNI plugins, and fails
//! without.
//!
//! No assertion is about time: what is to pass may take long, and for what is not to pass a short wait is enough.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use common::ip;
use common::wired::{API, DB, FAR, NODE_B, WEB, build, enforce, objects, on_node, run};
use nopal_lab::{Lab, Wiring};
use socket2::{Domain, Protocol, Socket, Type};

/// Web may send to this UDP port of db, and db to this one of far.
const POLICIES: &str = r"
---
{kind: NetworkPolicy, metadata: {namespace: shop, name: db}, spec: {podSelector: {matchLabels: {app: db}},
  policyTypes: [Ingress, Egress],
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{protocol: UDP, port: 7000}]}],
  egress: [{to: [{podSelector: {matchLabels: {app: far}}}], ports: [{protocol: UDP, port: 7000}]}]}}
---
{kind: NetworkPolicy, metadata: {namespace: shop, name: far}, spec: {podSelector: {matchLabels: {app: far}},
  policyTypes: [Ingress, Egress],
  ingress: [{from: [{podSelector: {matchLabels: {app: db}}}], ports: [{protocol: UDP, port: 7000}]}]}}
";
const ALLOWED: u16 = 7000;
const DENIED: u16 = 7001;
/// Closed everywhere.
const CLOSED: u16 = ALLOWED;

/// For what must come.
const LONG: Duration = Duration::from_secs(20);
/// For what must not come.
const SHORT: Duration = Duration::from_millis(300);

/// A flow within a node, and one between nodes.
const FLOWS: [([&str; 2], [&str; 2]); 2] = [(WEB, DB), (DB, FAR)];

fn udp(lab: &Lab, at: IpAddr, port: u16) -> UdpSocket {
    let namespace = lab.namespace_of(at).unwrap();
    let bind = || UdpSocket::bind((at, port));
    namespace.run(bind).unwrap().unwrap()
}

fn udp_to(lab: &Lab, from: IpAddr, to: IpAddr, port: u16) -> UdpSocket {
    let socket = udp(lab, from, 0);
    socket.connect((to, port)).unwrap();
    socket
}

/// Whether one of several datagrams of this size arrives.
fn arrives(sender: &UdpSocket, receiver: &UdpSocket, size: usize, wait: Duration) -> bool {
    let step = Duration::from_millis(100);
    receiver.set_read_timeout(Some(step)).unwrap();
    let mut buffer = vec![0; size + 1];
    (0..wait.as_millis() / step.as_millis()).any(|_| {
        // Sending can report the error that answers the datagram before.
        let _ = sender.send(&vec![7; size]);
        matches!(receiver.recv(&mut buffer), Ok(length) if length == size)
    })
}

/// What answers a datagram to a port where nobody listens.
fn answer(socket: &UdpSocket, wait: Duration) -> ErrorKind {
    socket.set_read_timeout(Some(wait)).unwrap();
    // An answer to the last datagram can come with the sending of the next.
    let sent = socket.send(&[1]);
    sent.and_then(|_| socket.recv(&mut [0])).unwrap_err().kind()
}

fn fragments_are_judged_as_one(lab: &Lab) {
    for ((from, to), family) in FLOWS.into_iter().flat_map(|flow| [(flow, 0), (flow, 1)]) {
        let (from, to) = (ip(from[family]), ip(to[family]));
        for (port, wait) in [(ALLOWED, LONG), (DENIED, SHORT)] {
            let (sender, receiver) = (udp_to(lab, from, to, port), udp(lab, to, port));
            let arrived = arrives(&sender, &receiver, 4_000, wait);
            assert_eq!(arrived, port == ALLOWED, "{from} to {to} {port}");
        }
    }
}

fn a_closed_port_is_reported_for_allowed_flows_alone(lab: &Lab) {
    for ((from, to), family) in FLOWS.into_iter().flat_map(|flow| [(flow, 0), (flow, 1)]) {
        let (from, to) = (ip(from[family]), ip(to[family]));
        let allowed = udp_to(lab, from, to, CLOSED);
        assert_eq!(answer(&allowed, LONG), ErrorKind::ConnectionRefused, "{to}");
        let denied = udp_to(lab, from, to, DENIED);
        assert_eq!(answer(&denied, SHORT), ErrorKind::WouldBlock, "{to}");
    }
}

/// A router on the way has a narrower link behind it than db has and tells so, and db notes it.
///
/// That what db then splits arrives is not asked for: on kernel 6.18 with connection tracking, a bridge that calls
/// netfilter puts IPv6 fragments together and forgets how large they were, whatever the rules are, so the router gets the
/// whole packet again.
fn a_packet_that_is_too_big_is_reported(lab: &Lab, wiring: Wiring) {
    let narrow = ["mtu", "1400"];
    if wiring == Wiring::Vxlan {
        let bridge = ["ip", "link", "set", "dev", "cni0"];
        on_node(lab, "node-b", &[&bridge[..], &narrow].concat());
    } else {
        let link = ["ip", "link", "set", "dev", "node1"];
        run(lab.world_namespace(), &[&link[..], &narrow].concat(), "");
    }
    for family in [0, 1] {
        let sender = udp_to(lab, ip(DB[family]), ip(FAR[family]), ALLOWED);
        let namespace = lab.namespace_of(ip(DB[family])).unwrap();
        let is_noted = || {
            // Sending can report the error that answers the datagram before.
            let _ = sender.send(&[7; 1_390]);
            thread::sleep(Duration::from_millis(20));
            run(namespace, &["ip", "route", "get", FAR[family]], "").contains("mtu 1400")
        };
        let end = Instant::now() + LONG;
        while !is_noted() {
            assert!(Instant::now() < end, "{wiring:?} {}", FAR[family]);
        }
    }
}

/// Sends "port unreachable" about a datagram that was never sent, and says whether it arrives.
fn a_made_up_error_arrives(lab: &Lab, from: IpAddr, to: IpAddr, wait: Duration) -> bool {
    let [sender, receiver] = [from, to].map(|at| {
        let open = || {
            let protocol = if at.is_ipv6() {
                Protocol::ICMPV6
            } else {
                Protocol::ICMPV4
            };
            let at = SocketAddr::new(at, 0);
            let socket = Socket::new(Domain::for_address(at), Type::RAW, Some(protocol)).unwrap();
            socket.bind(&at.into()).unwrap();
            socket
        };
        lab.namespace_of(at).unwrap().run(open).unwrap()
    });
    let error = port_unreachable(from, to);
    let step = Duration::from_millis(100);
    receiver.set_read_timeout(Some(step)).unwrap();
    let to = SocketAddr::new(to, 0).into();
    (0..wait.as_millis() / step.as_millis()).any(|_| {
        sender.send_to(&error, &to).unwrap();
        let mut buffer = [0; 256];
        let mut receiver = &receiver;
        // Neighbour discovery is heard here as well, and an IPv4 socket hears the header before.
        matches!(receiver.read(&mut buffer), Ok(length) if buffer[..length].ends_with(&error[8..]))
    })
}

/// RFC 792 and RFC 4443: the error that `from` would send about a UDP datagram of `to`.
fn port_unreachable(from: IpAddr, to: IpAddr) -> Vec<u8> {
    let ports = [0x1b, 0x59, 0x1b, 0x5a, 0, 12, 0, 0, 1, 2, 3, 4];
    let (mut error, quoted) = match (to, from) {
        (IpAddr::V4(to), IpAddr::V4(from)) => {
            let mut header = vec![0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0, 0];
            header.extend([to.octets(), from.octets()].concat());
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum);
            (vec![3, 3, 0, 0, 0, 0, 0, 0], header)
        }
        (IpAddr::V6(to), IpAddr::V6(from)) => {
            let mut header = vec![0x60, 0, 0, 0, 0, 12, 17, 64];
            header.extend([to.octets(), from.octets()].concat());
            (vec![1, 4, 0, 0, 0, 0, 0, 0], header)
        }
        _ => unreachable!("both ends are of one family"),
    };
    error.extend(quoted);
    error.extend(ports);
    if from.is_ipv4() {
        // The kernel fills in that of ICMPv6.
        let sum = checksum(&error);
        error[2..4].copy_from_slice(&sum);
    }
    error
}

/// RFC 1071, for an even number of bytes.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let sum = words.fold(0_u16, |sum, word| {
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    });
    (!sum).to_be_bytes()
}

fn special_packets_are_judged(wiring: Wiring, prefix: &str) {
    let lab = build(wiring, prefix);
    // From a pod of the same node, and from the other node.
    let strangers = [API, NODE_B];
    let made_up = |wait| {
        let pairs = strangers.into_iter().flat_map(|from| {
            [0, 1]
                .map(|family| a_made_up_error_arrives(&lab, ip(from[family]), ip(DB[family]), wait))
        });
        pairs.collect::<Vec<bool>>()
    };
    assert_eq!(made_up(LONG), [true; 4], "{wiring:?}: nothing is in force");
    enforce(&lab, &objects(POLICIES));
    assert_eq!(made_up(SHORT), [false; 4], "{wiring:?}");
    a_closed_port_is_reported_for_allowed_flows_alone(&lab);
    fragments_are_judged_as_one(&lab);
    a_packet_that_is_too_big_is_reported(&lab, wiring);
}

#[test]
fn fragments_and_errors_of_routed_pods() {
    special_packets_are_judged(Wiring::Routed, "nopal-p-routed");
}

#[test]
fn fragments_and_errors_of_pods_of_the_ptp_plugin() {
    special_packets_are_judged(Wiring::Ptp, "nopal-p-ptp");
}

#[test]
fn fragments_and_errors_of_pods_on_a_bridge_that_calls_netfilter() {
    special_packets_are_judged(Wiring::Bridge { netfilter: true }, "nopal-p-br1");
}

#[test]
fn fragments_and_errors_of_pods_on_a_bridge_that_we_switch() {
    special_packets_are_judged(Wiring::Bridge { netfilter: false }, "nopal-p-br0");
}

#[test]
fn fragments_and_errors_of_pods_of_a_vxlan_overlay() {
    special_packets_are_judged(Wiring::Vxlan, "nopal-p-vxlan");
}
