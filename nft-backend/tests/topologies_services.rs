//! Services in every wiring that the rules can hold in, as both modes of kube-proxy write them: policies see the pods
//! behind them. Needs root, nft, iptables, ip and the reference CNI plugins, and fails without.
//!
//! No assertion is about time: what is to pass may take long, and for what is not to pass a short wait is enough.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use common::ip;
use common::proxy::{Mode, Service, install};
use common::wired::{
    API, CACHE, DB, FAR, NODE_A, NODE_B, WEB, WORLD, build, enforce, objects, put_rules_in_force,
};
use nopal_lab::{Lab, Wiring};

/// For what must come.
const LONG: Duration = Duration::from_secs(20);
/// For what must not come.
const SHORT: Duration = Duration::from_millis(300);

/// Db takes connections of web and of the world, far those of db. The Services' own addresses are in no rule, and the
/// block that has them is there to show that it allows nothing.
const POLICIES: &str = r#"
---
{kind: NetworkPolicy, metadata: {namespace: shop, name: db}, spec: {podSelector: {matchLabels: {app: db}},
  policyTypes: [Ingress, Egress],
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}, {ipBlock: {cidr: 198.51.100.0/24}},
    {ipBlock: {cidr: "2001:db8::/32"}}], ports: [{port: 8080}]}],
  egress: [{to: [{podSelector: {matchLabels: {app: far}}}], ports: [{port: 8080}]}]}}
---
{kind: NetworkPolicy, metadata: {namespace: shop, name: far}, spec: {podSelector: {matchLabels: {app: far}},
  ingress: [{from: [{podSelector: {matchLabels: {app: db}}}, {ipBlock: {cidr: 10.96.0.0/16}},
    {ipBlock: {cidr: "fd00:96::/64"}}], ports: [{port: 8080}]}]}}
---
{kind: NetworkPolicy, metadata: {namespace: shop, name: api}, spec: {podSelector: {matchLabels: {app: api}},
  policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.96.0.0/16}}, {ipBlock: {cidr: "fd00:96::/64"}}]}]}}
"#;

/// As above, and far takes connections of node-a as well. What a node masquerades has the address of the interface that
/// it leaves by: the uplink's, or over Flannel's tunnel the tunnel's, which no Node object tells.
fn node_to_far(wiring: Wiring) -> String {
    let [v4, v6] = match wiring {
        Wiring::Vxlan => ["169.254.128.0", "fd00:6c61:62:1::"],
        _ => NODE_A,
    };
    format!(
        "---\n{{kind: NetworkPolicy, metadata: {{namespace: shop, name: node}}, \
         spec: {{podSelector: {{matchLabels: {{app: far}}}}, \
         ingress: [{{from: [{{ipBlock: {{cidr: {v4}/32}}}}, {{ipBlock: {{cidr: \"{v6}/128\"}}}}]}}]}}}}\n"
    )
}

const DB_SERVICE: Service = Service {
    address: ["10.96.0.1", "fd00:96::1"],
    port: 80,
    node_port: 30_080,
    backend: DB,
    backend_port: 8080,
};
const FAR_SERVICE: Service = Service {
    address: ["10.96.0.2", "fd00:96::2"],
    port: 80,
    node_port: 30_081,
    backend: FAR,
    backend_port: 8080,
};

/// From, to, port.
type Attempt = ([&'static str; 2], [&'static str; 2], u16);

fn connects(lab: &Lab, from: [&str; 2], to: SocketAddr, wait: Duration) -> bool {
    let namespace = lab.namespace_of(ip(from[0])).unwrap();
    let connect = || TcpStream::connect_timeout(&to, wait).is_ok();
    namespace.run(connect).unwrap()
}

fn services_hold(wiring: Wiring, mode: Mode, prefix: &str) {
    let lab = build(wiring, prefix);
    install(&lab, mode, &[DB_SERVICE, FAR_SERVICE]);
    enforce(&lab, &objects(POLICIES));
    let listen = |at: [&str; 2]| {
        at.map(|address| {
            let namespace = lab.namespace_of(ip(address)).unwrap();
            let listen = || TcpListener::bind((ip(address), 8080)).unwrap();
            namespace.run(listen).unwrap()
        })
    };
    let _listeners = [DB, FAR].map(listen);
    // The same in both families.
    let reaches = |(from, to, port): (_, [&str; 2], u16), wait| {
        let [v4, v6] = to.map(|address| {
            let to = SocketAddr::new(ip(address), port);
            connects(&lab, from, to, wait)
        });
        assert_eq!(v4, v6, "{wiring:?} {mode:?}: {from:?} to {to:?}");
        v4
    };
    let all_pass = |flows: &[Attempt]| {
        for flow in flows {
            assert!(reaches(*flow, LONG), "{wiring:?} {mode:?}: {flow:?}");
        }
    };
    // Waiting is all that these do, so they wait together.
    let none_passes = |flows: &[Attempt]| {
        let denied = |flow| assert!(!reaches(flow, SHORT), "{wiring:?} {mode:?}: {flow:?}");
        thread::scope(|scope| {
            for flow in flows {
                scope.spawn(|| denied(*flow));
            }
        });
    };

    all_pass(&[
        // A ClusterIP of a pod on the same node, and on the other: the rules see who sends and who gets.
        (WEB, DB_SERVICE.address, 80),
        (DB, FAR_SERVICE.address, 80),
        // A pod that is its own backend, and the node of the backend.
        (DB, DB_SERVICE.address, 80),
        (NODE_A, DB_SERVICE.address, 80),
        // A node's port at the backend's own node: the client is seen.
        (WORLD, NODE_A, DB_SERVICE.node_port),
    ]);
    none_passes(&[
        (CACHE, DB_SERVICE.address, 80),
        (WEB, FAR_SERVICE.address, 80),
        // Api may send to the Services' addresses, and no packet that is judged has one.
        (API, DB_SERVICE.address, 80),
        (NODE_A, FAR_SERVICE.address, 80),
        // At another node than the backend's a packet is masqueraded, and the client is not seen.
        (WORLD, NODE_B, DB_SERVICE.node_port),
        (WORLD, NODE_A, FAR_SERVICE.node_port),
    ]);
    let policies = format!("{POLICIES}{}", node_to_far(wiring));
    put_rules_in_force(&lab, &objects(&policies));
    all_pass(&[
        (NODE_A, FAR_SERVICE.address, 80),
        (WORLD, NODE_A, FAR_SERVICE.node_port),
    ]);
}

/// Most of the time is spent waiting for what does not come, so the modes stand side by side.
fn services_hold_in_both_modes(wiring: Wiring, prefixes: [&str; 2]) {
    thread::scope(|scope| {
        scope.spawn(|| services_hold(wiring, Mode::Nftables, prefixes[0]));
        scope.spawn(|| services_hold(wiring, Mode::Iptables, prefixes[1]));
    });
}

#[test]
fn services_of_routed_pods_are_judged_by_their_pods() {
    services_hold_in_both_modes(Wiring::Routed, ["nopal-s-rtn", "nopal-s-rti"]);
}

#[test]
fn services_of_pods_of_the_ptp_plugin_are_judged_by_their_pods() {
    services_hold_in_both_modes(Wiring::Ptp, ["nopal-s-ptn", "nopal-s-pti"]);
}

#[test]
fn services_of_pods_on_a_bridge_that_calls_netfilter_are_judged_by_their_pods() {
    let wiring = Wiring::Bridge { netfilter: true };
    services_hold_in_both_modes(wiring, ["nopal-s-b1n", "nopal-s-b1i"]);
}

#[test]
fn services_of_pods_on_a_bridge_that_we_switch_are_judged_by_their_pods() {
    let wiring = Wiring::Bridge { netfilter: false };
    services_hold_in_both_modes(wiring, ["nopal-s-b0n", "nopal-s-b0i"]);
}

#[test]
fn services_of_pods_of_a_vxlan_overlay_are_judged_by_their_pods() {
    services_hold_in_both_modes(Wiring::Vxlan, ["nopal-s-vxn", "nopal-s-vxi"]);
}
