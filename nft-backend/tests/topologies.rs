//! Every wiring that the rules can hold in: packets of every pair of machines against the naive evaluator. Those that they
//! cannot hold in are `topologies_refused.rs`. Needs root, nft, ip and the reference CNI plugins, and fails without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::ip;
use common::wire::{probe, seen};
use common::wired::{
    API, DB, EVERYBODY, NODES, build, enforce, network, objects, on_node, put_rules_in_force,
    report, report_by_route,
};
use nft_backend::topology::{Enforcement, PacketPath, Switch, TopologyError};
use nopal_lab::{Probe, ProbeKind, Seen, Wiring};
use policy_core::{Flow, FlowPort, Protocol, Verdict};

/// Policies at both ends of flows within a node, between nodes, and with the world.
const POLICIES: &str = r#"
---
{kind: NetworkPolicy, metadata: {namespace: shop, name: db}, spec: {podSelector: {matchLabels: {app: db}},
  policyTypes: [Ingress, Egress],
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}, {protocol: SCTP, port: 3868}]},
    {from: [{podSelector: {matchLabels: {app: cache}}}, {ipBlock: {cidr: "2001:db8::/32"}}]}],
  egress: [{to: [{podSelector: {matchLabels: {app: far}}}], ports: [{port: 8080}, {protocol: UDP, port: 53}]}]}}
---
{kind: NetworkPolicy, metadata: {namespace: shop, name: far}, spec: {podSelector: {matchLabels: {app: far}},
  ingress: [{from: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 8080}]},
    {from: [{podSelector: {matchLabels: {app: api}}}, {ipBlock: {cidr: 192.168.0.1/32}}]}]}}
---
{kind: NetworkPolicy, metadata: {namespace: shop, name: web}, spec: {podSelector: {matchLabels: {app: web}},
  policyTypes: [Egress], egress: [{to: [{podSelector: {}}], ports: [{port: 5432}, {protocol: SCTP, port: 3868}]}]}}
"#;

/// Whether a path is of the kind that a wiring leads to.
type IsKind<'k> = &'k dyn Fn(&PacketPath) -> bool;

const PORTS: [FlowPort; 5] = [
    FlowPort::Port(Protocol::Tcp, 5432),
    FlowPort::Port(Protocol::Tcp, 8080),
    FlowPort::Port(Protocol::Udp, 53),
    FlowPort::Port(Protocol::Sctp, 3868),
    FlowPort::Other,
];

fn every_flow() -> Vec<Flow> {
    let mut flows = Vec::new();
    for from in EVERYBODY {
        for to in EVERYBODY {
            for family in [0, 1] {
                let (from, to) = (ip(from[family]), ip(to[family]));
                flows.extend(PORTS.map(|port| Flow { from, to, port }));
            }
        }
    }
    flows
}

/// Builds the wiring, and finds every packet to do what the naive evaluator says.
fn agrees(wiring: Wiring, prefix: &str) {
    let lab = build(wiring, prefix);
    let objects = objects(POLICIES);
    enforce(&lab, &objects);
    let reference = objects.reference();
    let flows = every_flow();
    let probes: Vec<Probe> = flows.iter().map(probe).collect();
    let mut answers = seen(&lab, &probes);
    let mut wrong = Vec::new();
    let mut denied = 0;
    for (position, flow) in flows.iter().enumerate() {
        let expected = match reference.evaluate(flow) {
            Verdict::Allow => Seen::Passed,
            Verdict::Deny => Seen::Blocked,
        };
        denied += usize::from(expected == Seen::Blocked);
        if answers[position] == Seen::Blocked && expected == Seen::Passed {
            // On a busy machine an answer can come too late; one that a filter blocks never comes.
            answers[position] = seen(&lab, &[probes[position]])[0];
        }
        if answers[position] != expected {
            wrong.push(format!("{flow}: {:?}", answers[position]));
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "{wiring:?}");
    assert!(denied > 100 && denied < flows.len() - 100, "{denied}");
}

#[test]
fn packets_of_routed_pods_do_what_the_policies_say() {
    agrees(Wiring::Routed, "nopal-t-routed");
}

#[test]
fn packets_of_pods_of_the_ptp_plugin_do_what_the_policies_say() {
    agrees(Wiring::Ptp, "nopal-t-ptp");
}

#[test]
fn packets_of_pods_on_a_bridge_that_calls_netfilter_do_what_the_policies_say() {
    agrees(Wiring::Bridge { netfilter: true }, "nopal-t-br1");
}

#[test]
fn packets_of_pods_on_a_bridge_that_we_switch_do_what_the_policies_say() {
    agrees(Wiring::Bridge { netfilter: false }, "nopal-t-br0");
}

#[test]
fn packets_of_pods_of_a_vxlan_overlay_do_what_the_policies_say() {
    agrees(Wiring::Vxlan, "nopal-t-vxlan");
}

/// The negative control: what the report says is not enforced is seen to pass.
#[test]
fn a_bridge_without_netfilter_is_told_to_be_open_until_it_is_switched() {
    let lab = build(Wiring::Bridge { netfilter: false }, "nopal-t-open");
    let [node, _] = NODES;
    on_node(
        &lab,
        node,
        &["ip", "link", "add", "other0", "type", "bridge"],
    );
    put_rules_in_force(&lab, &objects(POLICIES));
    let denied: Vec<Probe> = [0, 1]
        .map(|family| Probe {
            from: ip(API[family]),
            to: ip(DB[family]),
            kind: ProbeKind::Tcp(5432),
        })
        .to_vec();
    assert_eq!(seen(&lab, &denied), [Seen::Passed; 2]);
    let open = report(&lab, node);
    assert!(!open.is_enforced());
    assert_eq!(open.bridges_to_switch(), ["cni0".to_owned()].into());
    assert_eq!(open.impossible().count(), 0);
    assert!(
        open.to_string().contains(
            "shop/db (10.0.1.11), on the bridge cni0: not enforced between ports of cni0 until it calls netfilter"
        ),
        "{open}"
    );

    let network = network(&lab, node);
    assert_eq!(
        network.ensure_bridge_netfilter("cni0"),
        Ok(Switch::Switched)
    );
    assert_eq!(network.ensure_bridge_netfilter("cni0"), Ok(Switch::WasOn));
    assert_eq!(seen(&lab, &denied), [Seen::Blocked; 2]);
    assert!(report(&lab, node).is_enforced());

    // One bridge was meant, and nothing else changed.
    let other = on_node(&lab, node, &["ip", "-d", "link", "show", "other0"]);
    assert!(
        other.contains("nf_call_iptables 0 nf_call_ip6tables 0"),
        "{other}"
    );
    let settings = ["cat", "/proc/sys/net/bridge/bridge-nf-call-iptables"];
    assert_eq!(on_node(&lab, node, &settings), "0\n");
    assert_eq!(
        network.ensure_bridge_netfilter("eth0"),
        Err(TopologyError::NoBridge {
            bridge: "eth0".to_owned()
        })
    );
}

/// The setting of the namespace makes every bridge call netfilter, so ours is left alone.
#[test]
fn a_bridge_that_calls_netfilter_by_the_setting_is_left_alone() {
    let lab = build(Wiring::Bridge { netfilter: true }, "nopal-t-left");
    let [node, _] = NODES;
    assert!(report(&lab, node).is_enforced());
    let switched = network(&lab, node).ensure_bridge_netfilter("cni0");
    assert_eq!(switched, Ok(Switch::WasOn));
    let bridge = on_node(&lab, node, &["ip", "-d", "link", "show", "cni0"]);
    assert!(bridge.contains("nf_call_iptables 0"), "{bridge}");
}

#[test]
fn the_pods_interface_and_the_nodes_route_tell_the_same() {
    let is_routed = |path: &PacketPath| matches!(path, PacketPath::RoutedVeth { .. });
    let is_on_bridge = |path: &PacketPath| matches!(path, PacketPath::BridgePort { .. });
    let wirings: [(Wiring, IsKind<'_>); 4] = [
        (Wiring::Routed, &is_routed),
        (Wiring::Ptp, &is_routed),
        (Wiring::Bridge { netfilter: false }, &is_on_bridge),
        (Wiring::Vxlan, &is_on_bridge),
    ];
    for (wiring, is_expected) in wirings {
        let lab = build(wiring, "nopal-t-tell");
        for (node, addresses) in NODES.into_iter().zip([6, 4]) {
            let by_interface = report(&lab, node);
            assert_eq!(by_interface, report_by_route(&lab, node), "{wiring:?}");
            assert_eq!(by_interface.placed.len(), addresses);
            let mut placed = by_interface.placed.iter();
            assert!(
                placed.all(|placed| is_expected(&placed.path)),
                "{by_interface}"
            );
        }
    }
}

#[test]
fn a_node_address_is_the_hosts_and_a_strange_address_is_unknown() {
    let lab = build(Wiring::Routed, "nopal-t-host");
    let [node, _] = NODES;
    let pod = |address: &str| nft_backend::topology::LocalPod {
        name: "shop/x".to_owned(),
        addresses: vec![ip(address)],
        namespace: None,
    };
    let detect = |address: &str| {
        let report = network(&lab, node).detect(&[pod(address)]).unwrap();
        report.placed[0].path.enforcement()
    };
    assert_eq!(detect("192.168.0.1"), Enforcement::NotASubject);
    assert_eq!(detect("10.0.1.10"), Enforcement::AtForward);
    // A pod of the other node, and an address that nobody has, go by the uplink.
    for address in ["10.0.2.10", "203.0.113.9", "fd00:10:0:2::10"] {
        let told = detect(address);
        assert!(matches!(told, Enforcement::Impossible { .. }), "{told}");
    }
    let gone = network(&lab, node).detect(&[nft_backend::topology::LocalPod {
        namespace: Some("/run/netns/nopal-t-gone".into()),
        ..pod("10.0.1.10")
    }]);
    assert!(
        gone.unwrap_err()
            .to_string()
            .contains("the pod may have gone")
    );
}
