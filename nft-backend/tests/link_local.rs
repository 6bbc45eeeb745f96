//! Link-local IPv6 over a bridge: it passes where no pod of the node is isolated, and not past the rules of one that is.
//! Needs root, nft, ip and the reference CNI plugins, and fails without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use common::ip;
use common::wire::seen;
use common::wired::{API, DB, WEB, build, enforce, objects, run};
use nopal_lab::{Lab, Namespace, Probe, ProbeKind, Seen, Wiring};

/// Only db is isolated; web may reach one port of it.
const POLICY: &str = r"
---
{kind: NetworkPolicy, metadata: {namespace: shop, name: db}, spec: {podSelector: {matchLabels: {app: db}},
  policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]}}
";
const PORT: u16 = 7000;

/// For what must come.
const LONG: Duration = Duration::from_secs(20);
/// For what must not come.
const SHORT: Duration = Duration::from_millis(500);

/// A pod, as its neighbours on the bridge know it.
struct Neighbour<'l> {
    namespace: &'l Namespace,
    address: Ipv6Addr,
    interface: u32,
}

impl<'l> Neighbour<'l> {
    /// Gives the pod with this address a link-local one as well, which a lab's interfaces do not make of their own.
    fn new(lab: &'l Lab, pod: [&str; 2], address: &str) -> Self {
        let namespace = lab.namespace_of(ip(pod[1])).unwrap();
        let listed = run(namespace, &["ip", "-j", "addr", "show", "to", pod[1]], "");
        let links: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let link = &links[0];
        let name = link["ifname"].as_str().unwrap();
        let with_length = format!("{address}/64");
        let add = ["ip", "addr", "add", &with_length, "dev", name, "nodad"];
        run(namespace, &add, "");
        Self {
            namespace,
            address: address.parse().unwrap(),
            interface: u32::try_from(link["ifindex"].as_u64().unwrap()).unwrap(),
        }
    }

    /// A socket of the pod at its link-local address.
    fn socket(&self, port: u16) -> UdpSocket {
        let at = SocketAddrV6::new(self.address, port, 0, self.interface);
        let bind = || UdpSocket::bind(at);
        self.namespace.run(bind).unwrap().unwrap()
    }
}

/// Whether one of several datagrams from one pod's link-local address arrives at the other's.
fn arrives(from: &Neighbour<'_>, to: &Neighbour<'_>, wait: Duration) -> bool {
    let (sender, receiver) = (from.socket(0), to.socket(PORT));
    flows(&sender, from, to, &receiver, wait)
}

/// The same with sockets that are open already.
fn flows(
    sender: &UdpSocket,
    from: &Neighbour<'_>,
    to: &Neighbour<'_>,
    receiver: &UdpSocket,
    wait: Duration,
) -> bool {
    let there = SocketAddrV6::new(to.address, PORT, 0, from.interface);
    let step = Duration::from_millis(100);
    receiver.set_read_timeout(Some(step)).unwrap();
    let start = Instant::now();
    loop {
        // A filter that refuses tells the sender, who goes on.
        let _ = sender.send_to(b"here", there);
        if receiver.recv(&mut [0; 16]).is_ok() {
            return true;
        }
        if start.elapsed() > wait {
            return false;
        }
    }
}

fn drain(receiver: &UdpSocket) {
    receiver.set_nonblocking(true).unwrap();
    while receiver.recv(&mut [0; 16]).is_ok() {}
    receiver.set_nonblocking(false).unwrap();
}

/// Before, with and after a policy that isolates one pod of the node.
fn holds(wiring: Wiring, prefix: &str) {
    let lab = build(wiring, prefix);
    enforce(&lab, &objects(""));
    let pods = [(WEB, "fe80::10"), (DB, "fe80::11"), (API, "fe80::12")];
    let [web, db, api] = pods.map(|(pod, address)| Neighbour::new(&lab, pod, address));
    assert!(arrives(&web, &db, LONG) && arrives(&db, &web, LONG));
    let (sender, receiver) = (api.socket(0), db.socket(PORT));
    assert!(flows(&sender, &api, &db, &receiver, LONG));

    enforce(&lab, &objects(POLICY));
    drain(&receiver);
    assert!(
        !flows(&sender, &api, &db, &receiver, SHORT),
        "a standing flow goes on"
    );
    drop(receiver);
    assert!(!arrives(&web, &db, SHORT), "an isolated pod is reached");
    assert!(!arrives(&db, &web, SHORT), "an isolated pod reaches others");
    let allowed = Probe {
        from: ip(WEB[1]),
        to: ip(DB[1]),
        kind: ProbeKind::Tcp(5432),
    };
    assert_eq!(
        seen(&lab, &[allowed]),
        [Seen::Passed],
        "neighbours are found"
    );

    enforce(&lab, &objects(""));
    assert!(arrives(&web, &db, LONG) && arrives(&db, &web, LONG));
}

#[test]
fn no_link_local_packet_passes_an_isolated_pod_on_a_bridge_that_calls_netfilter() {
    holds(Wiring::Bridge { netfilter: true }, "nopal-ll-br1");
}

#[test]
fn no_link_local_packet_passes_an_isolated_pod_on_a_bridge_that_we_switch() {
    holds(Wiring::Bridge { netfilter: false }, "nopal-ll-br0");
}

#[test]
fn no_link_local_packet_passes_an_isolated_pod_of_a_vxlan_overlay() {
    holds(Wiring::Vxlan, "nopal-ll-vx");
}
