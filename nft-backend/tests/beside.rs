//! What must hold beside the policies themselves, in the kernel: other tables, ICMP errors, neighbour discovery,
//! hairpins, fragments, the own node. Needs root, nft and ip, and fails without.
//!
//! No assertion is about time: what is to pass may take long, and for what is not to pass a short wait is enough.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use common::ip;
use common::netns::run_in;
use common::pair::{DB, FAR, NODE, NODE_ADDRESSES, WEB, build, in_each_family, rules};
use common::wire::{put_in_force, seen};
use nft_backend::config::Config;
use nft_backend::nft::Nft;
use nopal_lab::{Lab, Probe, ProbeKind, Seen, patient};

const DENY_ALL: &str = "policyTypes: [Ingress, Egress]";
/// Web may send to this UDP port of db; db may send nothing but replies.
const ONE_PORT: &str = "policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], \
                        ports: [{protocol: UDP, port: 7000}]}]";
/// Db may send to UDP ports of far; it may receive nothing but replies.
const OUT_TO_FAR: &str = "policyTypes: [Ingress, Egress], egress: [{to: [{podSelector: {matchLabels: {app: far}}}], \
                          ports: [{protocol: UDP, port: 7000}]}]";
const ALLOWED: u16 = 7000;
const DENIED: u16 = 7001;

/// For what must come.
const LONG: Duration = Duration::from_secs(20);
/// For what must not come.
const SHORT: Duration = Duration::from_millis(300);

fn enforce(kernel: &mut Nft, spec: &str) {
    let config = Config::default();
    put_in_force(kernel, &rules(spec, &config), &config);
}

/// Runs a program in the namespace of the node.
fn on_node(lab: &Lab, command: &[&str]) -> String {
    run_in(lab.node_namespace(NODE).unwrap(), command)
}

/// A UDP socket in the namespace that has the address.
fn udp(lab: &Lab, at: IpAddr, port: u16) -> UdpSocket {
    let namespace = lab.namespace_of(at).unwrap();
    namespace
        .run(|| UdpSocket::bind((at, port)))
        .unwrap()
        .unwrap()
}

/// Whether one of several datagrams of this size arrives.
fn arrives(sender: &UdpSocket, receiver: &UdpSocket, size: usize, wait: Duration) -> bool {
    let step = Duration::from_millis(100);
    receiver.set_read_timeout(Some(step)).unwrap();
    let mut buffer = vec![0; size + 1];
    (0..patient(wait).as_millis() / step.as_millis()).any(|_| {
        // Sending can report the error that answers the datagram before.
        let _ = sender.send(&vec![7; size]);
        matches!(receiver.recv(&mut buffer), Ok(length) if length == size)
    })
}

#[test]
fn other_tables_keep_their_rules_counters_and_say() {
    let (lab, mut kernel) = build("nopal-beside");
    let other = "table inet other {
        counter seen { }
        set s { type inet_service; elements = { 7002 }; }
        chain before { type filter hook forward priority -10; counter name seen; udp dport 7001 accept; }
        chain after { type filter hook forward priority 10; udp dport @s counter drop; }
    }";
    on_node(&lab, &["nft", other]);
    let both = "policyTypes: [Ingress], ingress: [{ports: [{protocol: UDP, port: 7000}, {protocol: UDP, port: 7002}]}]";
    enforce(&mut kernel, both);
    let probes: Vec<Probe> = in_each_family(WEB, DB)
        .into_iter()
        .flat_map(|(from, to)| {
            let kind = |port| Probe {
                from,
                to,
                kind: ProbeKind::Udp(port),
            };
            [kind(7000), kind(7001), kind(7002)]
        })
        .collect();
    let expected = [Seen::Passed, Seen::Blocked, Seen::Blocked].repeat(2);
    assert_eq!(seen(&lab, &probes), expected);
    let list = ["nft", "list", "table", "inet", "other"];
    let denied = ["nft", "list", "counter", "inet", "nopal", "denied"];
    let before = (on_node(&lab, &list), on_node(&lab, &denied));
    for spec in [DENY_ALL, both] {
        enforce(&mut kernel, spec);
    }
    assert_eq!((on_node(&lab, &list), on_node(&lab, &denied)), before);
    assert!(
        !before.0.contains("packets 0") && !before.1.contains("packets 0"),
        "{before:?}"
    );
    on_node(&lab, &["nft", "delete table inet nopal"]);
    assert_eq!(on_node(&lab, &list), before.0);
}

#[test]
fn a_closed_port_of_an_allowed_flow_is_reported_and_a_denied_one_is_silent() {
    let (lab, mut kernel) = build("nopal-closed");
    enforce(&mut kernel, ONE_PORT);
    let answer = |socket: &UdpSocket, wait| {
        socket.set_read_timeout(Some(patient(wait))).unwrap();
        // An answer to the last datagram can come with the sending of the next.
        let sent = socket.send(&[1]);
        sent.and_then(|_| socket.recv(&mut [0])).unwrap_err().kind()
    };
    for (web, db) in in_each_family(WEB, DB) {
        let [allowed, denied] = [ALLOWED, DENIED].map(|port| {
            let socket = udp(&lab, web, 0);
            socket.connect((db, port)).unwrap();
            socket
        });
        assert_eq!(answer(&allowed, LONG), ErrorKind::ConnectionRefused);
        assert_eq!(answer(&denied, SHORT), ErrorKind::WouldBlock);
        // The flow is stale now; its next packet is evaluated, and the error about that passes.
        enforce(&mut kernel, ONE_PORT);
        assert_eq!(answer(&allowed, LONG), ErrorKind::ConnectionRefused);
        // Nothing that db says on its own passes.
        let own = udp(&lab, db, 0);
        own.connect((web, ALLOWED)).unwrap();
        assert_eq!(answer(&own, SHORT), ErrorKind::WouldBlock);
    }
}

#[test]
fn a_router_that_cannot_forward_a_large_packet_is_heard() {
    let (lab, mut kernel) = build("nopal-mtu");
    enforce(&mut kernel, OUT_TO_FAR);
    // The link to far is the second pod's, in the order of names. The other node knows that it is narrow, db learns it
    // from the ICMP error about its first datagram, and splits those that follow.
    let node = lab.node_namespace("node-b").unwrap();
    run_in(node, &["ip", "link", "set", "dev", "pod1", "mtu", "1400"]);
    for (db, far) in in_each_family(DB, FAR) {
        let (sender, receiver) = (udp(&lab, db, 0), udp(&lab, far, ALLOWED));
        sender.connect((far, ALLOWED)).unwrap();
        assert!(arrives(&sender, &receiver, 1_440, LONG), "{far}");
    }
}

#[test]
fn a_datagram_in_fragments_is_judged_as_one() {
    let (lab, mut kernel) = build("nopal-frag");
    enforce(&mut kernel, ONE_PORT);
    for (web, db) in in_each_family(WEB, DB) {
        for (port, is_allowed) in [(ALLOWED, true), (DENIED, false)] {
            let (sender, receiver) = (udp(&lab, web, 0), udp(&lab, db, port));
            sender.connect((db, port)).unwrap();
            let wait = if is_allowed { LONG } else { SHORT };
            assert_eq!(
                arrives(&sender, &receiver, 4_000, wait),
                is_allowed,
                "{db} {port}"
            );
        }
    }
}

#[test]
fn the_own_node_and_the_own_address_pass_whatever_the_policies_say() {
    let (lab, mut kernel) = build("nopal-own");
    enforce(&mut kernel, DENY_ALL);
    let kinds = [
        ProbeKind::Tcp(80),
        ProbeKind::Udp(80),
        ProbeKind::Sctp(80),
        ProbeKind::Echo,
    ];
    let probes = |ends: [&str; 2], others: [&str; 2]| -> Vec<Probe> {
        let pairs = in_each_family(ends, others);
        let both_ways = pairs
            .into_iter()
            .flat_map(|(from, to)| [(from, to), (to, from)]);
        both_ways
            .flat_map(|(from, to)| kinds.map(|kind| Probe { from, to, kind }))
            .collect()
    };
    let own = [probes(NODE_ADDRESSES, DB), probes(DB, DB)].concat();
    let foreign = [probes(WEB, DB), probes(FAR, DB)].concat();
    let answers = seen(&lab, &[own.clone(), foreign].concat());
    let (own_answers, foreign_answers) = answers.split_at(own.len());
    assert!(own_answers.iter().all(|seen| *seen == Seen::Passed));
    assert!(foreign_answers.iter().all(|seen| *seen == Seen::Blocked));
}

/// A Service with db as its backend, as kube-proxy makes it: the destination is translated before the forward hook, and
/// the source of a hairpin after it.
#[test]
fn a_pod_reaches_itself_through_a_service_and_others_do_not_reach_it() {
    let (lab, mut kernel) = build("nopal-hairpin");
    on_node(
        &lab,
        &[
            "nft",
            "table inet proxy {
            chain pre { type nat hook prerouting priority dstnat;
                ip daddr 10.96.0.1 tcp dport 80 dnat ip to 10.0.1.11:8080
                ip6 daddr fd00:96::1 tcp dport 80 dnat ip6 to [fd00:10:0:1::11]:8080; }
            chain post { type nat hook postrouting priority srcnat;
                ip saddr 10.0.1.11 ip daddr 10.0.1.11 masquerade
                ip6 saddr fd00:10:0:1::11 ip6 daddr fd00:10:0:1::11 masquerade; }
        }",
        ],
    );
    let service = [ip("10.96.0.1"), ip("fd00:96::1")].map(|address| SocketAddr::new(address, 80));
    let connects = |from: IpAddr, to: &SocketAddr, wait| {
        let namespace = lab.namespace_of(from).unwrap();
        namespace
            .run(|| TcpStream::connect_timeout(to, patient(wait)))
            .unwrap()
            .is_ok()
    };
    for ((web, db), service) in in_each_family(WEB, DB).into_iter().zip(&service) {
        let namespace = lab.namespace_of(db).unwrap();
        let _listener = namespace
            .run(|| TcpListener::bind((db, 8080)))
            .unwrap()
            .unwrap();
        enforce(&mut kernel, "policyTypes: [Ingress], ingress: [{}]");
        assert!(connects(web, service, LONG) && connects(db, service, LONG));
        enforce(&mut kernel, DENY_ALL);
        assert!(!connects(web, service, SHORT));
        assert!(connects(db, service, LONG));
    }
}

/// Two pods on a bridge, whose packets pass the forward hook, neighbour discovery among them.
#[test]
fn neighbours_find_each_other_on_a_bridge_under_deny_all() {
    let (lab, mut kernel) = build("nopal-bridge");
    let calls = ["nf_call_iptables", "1", "nf_call_ip6tables", "1"];
    let add_bridge = ["ip", "link", "add", "cbr0", "type", "bridge"];
    on_node(&lab, &[&add_bridge[..], &calls].concat());
    on_node(&lab, &["ip", "link", "set", "cbr0", "up"]);
    for (pod, link, mac) in [
        ("shop/web", "pod2", "02:00:00:00:01:01"),
        ("shop/db", "pod0", "02:00:00:00:01:02"),
    ] {
        on_node(&lab, &["ip", "link", "set", link, "master", "cbr0"]);
        let namespace = lab.pod_namespace(pod).unwrap();
        for line in [
            format!("link set eth0 address {mac}"),
            "neigh flush dev eth0 nud permanent".to_owned(),
            "route add 10.0.1.0/24 dev eth0".to_owned(),
            "route add fd00:10:0:1::/64 dev eth0".to_owned(),
        ] {
            run_in(
                namespace,
                &[&["ip"][..], &line.split(' ').collect::<Vec<_>>()].concat(),
            );
        }
    }
    let echoes = in_each_family(WEB, DB).map(|(from, to)| Probe {
        from,
        to,
        kind: ProbeKind::Echo,
    });
    enforce(&mut kernel, DENY_ALL);
    assert_eq!(seen(&lab, &echoes), [Seen::Blocked; 2]);
    for to in DB {
        let neighbour = run_in(
            lab.pod_namespace("shop/web").unwrap(),
            &["ip", "neigh", "show", to],
        );
        assert!(neighbour.contains("02:00:00:00:01:02"), "{to}: {neighbour}");
    }
    enforce(&mut kernel, "policyTypes: [Ingress], ingress: [{}]");
    assert_eq!(seen(&lab, &echoes), [Seen::Passed; 2]);
}
