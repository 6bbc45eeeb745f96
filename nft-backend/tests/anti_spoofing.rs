//! What a pod sends with another's address is dropped at its own interface, in both families, behind a route and behind a
//! bridge; what it sends with its own passes. Needs root, nft, ip and the CNI plugins.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::ip;
use common::wire::nft;
use common::wired::{API, DB, FAR, WEB, build};
use nft_backend::anti_spoofing::{AntiSpoofing, Done, Own};
use nopal_lab::{Lab, Namespace, Wiring, feasible, patient};
use serde_json::Value;

const PORT: u16 = 9100;

/// How often the tables are made anew under traffic.
const REMAKES: u32 = 100;

/// The pods of node-a.
const PODS: [(&str, [&str; 2]); 3] = [("shop/web", WEB), ("shop/db", DB), ("shop/api", API)];

fn run(namespace: &Namespace, program: &str, arguments: &[&str]) -> String {
    let work = || Command::new(program).args(arguments).output().unwrap();
    let output = namespace.run(work).unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

fn links(namespace: &Namespace) -> Vec<Value> {
    serde_json::from_str(&run(namespace, "ip", &["-json", "link"])).unwrap()
}

/// The pods' interfaces on their node, with the pods' addresses.
fn own(lab: &Lab) -> BTreeSet<Own> {
    let on_node = links(lab.node_namespace("node-a").unwrap());
    let mut own = BTreeSet::new();
    for (pod, addresses) in PODS {
        let inside = links(lab.pod_namespace(pod).unwrap());
        let veth = inside
            .iter()
            .find(|link| link["link_index"].is_u64())
            .unwrap();
        let is_other_end = |link: &&Value| link["ifindex"] == veth["link_index"];
        let other = on_node.iter().find(is_other_end).unwrap();
        let interface = other["ifname"].as_str().unwrap();
        own.extend(addresses.map(|address| Own {
            interface: interface.to_owned(),
            address: ip(address),
        }));
    }
    own
}

/// Whether a datagram of `pod` with the source `from` gets to `to`, of several that it sends.
fn arrives(lab: &Lab, pod: &str, from: &str, to: &str) -> bool {
    let (from, to): (IpAddr, IpAddr) = (ip(from), ip(to));
    let receiver = lab.namespace_of(to).unwrap();
    let receiver = receiver
        .run(|| UdpSocket::bind((to, PORT)).unwrap())
        .unwrap();
    receiver
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let sender = lab.pod_namespace(pod).unwrap();
    let sender = sender.run(|| UdpSocket::bind((from, 0)).unwrap()).unwrap();
    let begun = Instant::now();
    let mut sent = 0;
    // Those who are to be heard are waited for; of the others, some packets have to be sent.
    while sent < 5 || begun.elapsed() < patient(Duration::from_millis(500)) {
        sender.send_to(b"x", SocketAddr::new(to, PORT)).unwrap();
        sent += 1;
        if let Ok((_, source)) = receiver.recv_from(&mut [0; 4]) {
            assert_eq!(source.ip(), from);
            return true;
        }
    }
    false
}

/// Lets web send with db's addresses, too.
fn make_hostile(lab: &Lab) {
    let web = lab.pod_namespace("shop/web").unwrap();
    for (address, length) in [(DB[0], 32), (DB[1], 128)] {
        let address = format!("{address}/{length}");
        run(
            web,
            "ip",
            &["address", "add", &address, "dev", "lo", "nodad"],
        );
    }
}

fn spoofing_ends(wiring: Wiring, prefix: &str) {
    let lab = build(wiring, prefix);
    make_hostile(&lab);
    let mut tables = AntiSpoofing::new(nft(&lab, "node-a"));
    let receivers = [FAR, API];
    for family in [0, 1] {
        for to in receivers {
            assert!(
                arrives(&lab, "shop/web", DB[family], to[family]),
                "nothing is in force"
            );
        }
    }
    let all = own(&lab);
    assert_eq!(tables.enforce(&all).unwrap(), Done::Made);
    assert_eq!(tables.enforce(&all).unwrap(), Done::Nothing);
    for family in [0, 1] {
        for to in receivers {
            assert!(
                !arrives(&lab, "shop/web", DB[family], to[family]),
                "db's address"
            );
            assert!(
                arrives(&lab, "shop/web", WEB[family], to[family]),
                "its own address"
            );
            assert!(
                arrives(&lab, "shop/db", DB[family], to[family]),
                "the owner"
            );
        }
    }
    // What a pod loses and gets.
    let web = |own: &Own| WEB.contains(&own.address.to_string().as_str());
    let fewer: BTreeSet<Own> = all
        .iter()
        .filter(|own| !web(own) || own.address.is_ipv6())
        .cloned()
        .collect();
    assert_eq!(tables.enforce(&fewer).unwrap(), Done::Updated);
    assert!(!arrives(&lab, "shop/web", WEB[0], FAR[0]));
    assert!(arrives(&lab, "shop/web", WEB[1], FAR[1]));
    let without: BTreeSet<Own> = all.iter().filter(|own| !web(own)).cloned().collect();
    assert_eq!(tables.enforce(&without).unwrap(), Done::Updated);
    assert!(
        arrives(&lab, "shop/web", DB[0], FAR[0]),
        "its interface is nobody's"
    );
    // Neighbours are found anew with the rules in force.
    assert_eq!(tables.enforce(&all).unwrap(), Done::Updated);
    for (pod, _) in PODS {
        run(
            lab.pod_namespace(pod).unwrap(),
            "ip",
            &["neigh", "flush", "all"],
        );
    }
    for family in [0, 1] {
        assert!(
            arrives(&lab, "shop/web", WEB[family], API[family]),
            "neighbours are found"
        );
    }
    // A stranger's change is undone.
    let node = lab.node_namespace("node-a").unwrap();
    for family in ["inet", "bridge"] {
        run(
            node,
            "nft",
            &["flush", "chain", family, "nopal_spoofing", "prerouting"],
        );
    }
    assert!(
        arrives(&lab, "shop/web", DB[0], FAR[0]),
        "a stranger opened it"
    );
    assert_eq!(tables.enforce(&all).unwrap(), Done::Repaired);
    assert!(!arrives(&lab, "shop/web", DB[0], FAR[0]));
    assert!(tables.remove().unwrap() && !tables.remove().unwrap());
    assert!(arrives(&lab, "shop/web", DB[1], FAR[1]), "it is off");
}

#[test]
fn a_routed_pod_cannot_send_with_another_s_address() {
    spoofing_ends(Wiring::Ptp, "nopalspoofptp");
}

#[test]
fn a_pod_on_a_bridge_cannot_send_with_another_s_address() {
    spoofing_ends(Wiring::Bridge { netfilter: true }, "nopalspoofbr");
}

/// An agent that starts makes the tables as if nothing were known of them, and so does one that repairs them.
#[test]
fn nothing_gets_through_while_the_tables_are_made_anew() {
    let lab = build(Wiring::Ptp, "nopalspoofnew");
    make_hostile(&lab);
    let all = own(&lab);
    let make = || {
        let mut tables = AntiSpoofing::new(nft(&lab, "node-a"));
        assert_eq!(tables.enforce(&all).unwrap(), Done::Made);
    };
    make();
    let bind = |pod: &str, address: &str, port: u16| {
        let bound = SocketAddr::new(ip(address), port);
        let namespace = lab.pod_namespace(pod).unwrap();
        namespace.run(|| UdpSocket::bind(bound).unwrap()).unwrap()
    };
    let receiver = bind("shop/api", API[0], PORT);
    let enough = patient(Duration::from_millis(500));
    receiver.set_read_timeout(Some(enough)).unwrap();
    let senders = [DB, WEB].map(|source| bind("shop/web", source[0], 0));
    let is_over = AtomicBool::new(false);
    let (sent, spoofed, own) = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut sent = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                for sender in &senders {
                    sender
                        .send_to(b"x", SocketAddr::new(ip(API[0]), PORT))
                        .unwrap();
                }
                sent += 1;
            }
            sent
        });
        let counting = scope.spawn(|| {
            let (mut spoofed, mut own) = (0_u64, 0_u64);
            while let Ok((_, source)) = receiver.recv_from(&mut [0; 4]) {
                let is_spoofed = source.ip() == ip(DB[0]);
                let count = if is_spoofed { &mut spoofed } else { &mut own };
                *count += 1;
            }
            (spoofed, own)
        });
        for _ in 0..feasible(REMAKES) {
            make();
        }
        is_over.store(true, Ordering::Relaxed);
        let (spoofed, own) = counting.join().unwrap();
        (sending.join().unwrap(), spoofed, own)
    });
    assert_eq!(spoofed, 0, "of {sent} with another's address");
    assert!(own > 0, "of {sent} with the pod's own address");
}
