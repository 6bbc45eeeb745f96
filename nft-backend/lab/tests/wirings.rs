//! Every wiring carries every packet while no filter is there, and differs from the others in what the
//! forward hook of a node sees. Needs root, iproute2, nft and the reference CNI plugins.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::process::Command;

use common::{
    API, CACHE, DB, EVERYBODY, NODE_A, NODE_B, WEB, WORLD, blocked, filter_forwarding, namespaces,
    nft, probe, topology,
};
use nopal_lab::{Lab, LabError, Probe, ProbeKind, Wiring};

const KINDS: [ProbeKind; 4] = [
    ProbeKind::Tcp(5432),
    ProbeKind::Udp(53),
    ProbeKind::Sctp(3868),
    ProbeKind::Echo,
];

fn build(wiring: Wiring, prefix: &str) -> Lab {
    Lab::build_wired(&topology(), wiring, prefix)
        .unwrap_or_else(|error| panic!("no lab: {error} ({error:?})"))
}

fn both_ways(one: [&str; 2], other: [&str; 2]) -> Vec<Probe> {
    let mut probes = Vec::new();
    for family in [0, 1] {
        for kind in KINDS {
            probes.push(probe(one[family], other[family], kind));
            probes.push(probe(other[family], one[family], kind));
        }
    }
    probes
}

fn every_pair() -> Vec<Probe> {
    let mut probes = Vec::new();
    for (number, one) in EVERYBODY.into_iter().enumerate() {
        for other in &EVERYBODY[..number] {
            probes.extend(both_ways(one, *other));
        }
    }
    probes
}

/// What still passes when the forward hook of every node drops all that it sees.
fn past_the_forward_hook(lab: &Lab) -> impl Fn([&str; 2], [&str; 2]) -> bool {
    for node in ["node-a", "node-b"] {
        filter_forwarding(lab, node, "drop;");
    }
    |one, other| {
        let probes = both_ways(one, other);
        let count = blocked(lab, &probes).len();
        assert!(count == 0 || count == probes.len(), "{count} are blocked");
        count == 0
    }
}

#[test]
fn pods_of_the_ptp_plugin_meet_at_the_forward_hook() {
    let lab = build(Wiring::Ptp, "lab-ptp");
    assert_eq!(blocked(&lab, &every_pair()), []);
    let passes = past_the_forward_hook(&lab);
    assert!(!passes(WEB, API) && !passes(WEB, DB) && passes(NODE_A, WEB));
}

#[test]
fn pods_of_one_bridge_meet_at_the_forward_hook_if_the_settings_say_so() {
    for netfilter in [true, false] {
        let lab = build(Wiring::Bridge { netfilter }, "lab-bridge");
        assert_eq!(blocked(&lab, &every_pair()), []);
        let passes = past_the_forward_hook(&lab);
        assert_eq!(passes(WEB, API), !netfilter);
        assert!(!passes(WEB, DB) && passes(NODE_A, WEB));
    }
}

#[test]
fn pods_of_other_nodes_are_reached_by_the_tunnel_alone() {
    let lab = build(Wiring::Vxlan, "lab-vxlan");
    assert_eq!(blocked(&lab, &every_pair()), []);
    nft(
        &lab,
        "node-a",
        "table inet lab_test { chain out { type filter hook output priority 0; udp dport 8472 drop; }; }",
    );
    let from_web = |to: [&str; 2]| -> Vec<Probe> {
        [0, 1]
            .map(|family| probe(WEB[family], to[family], ProbeKind::Udp(53)))
            .to_vec()
    };
    let tunnelled = [from_web(DB), from_web(CACHE)].concat();
    let local = [from_web(API), from_web(NODE_A), from_web(NODE_B)].concat();
    let all = [tunnelled.clone(), local].concat();
    assert_eq!(blocked(&lab, &all), tunnelled);
}

#[test]
fn pods_on_macvlan_never_meet_the_forward_hook() {
    let lab = build(Wiring::Macvlan, "lab-macvlan");
    assert_eq!(blocked(&lab, &every_pair()), []);
    let passes = past_the_forward_hook(&lab);
    assert!(passes(WEB, API) && passes(WEB, DB) && passes(NODE_A, WEB));
}

/// Kernels without `CONFIG_IPVLAN` refuse, and the lab passes on what the plugin says about it.
#[test]
fn ipvlan_works_or_the_kernel_is_named_as_what_lacks_it() {
    match Lab::build_wired(&topology(), Wiring::Ipvlan, "lab-ipvlan") {
        Ok(lab) => {
            assert_eq!(blocked(&lab, &every_pair()), []);
            let passes = past_the_forward_hook(&lab);
            assert!(passes(WEB, API) && passes(WEB, DB) && passes(NODE_A, WEB));
        }
        Err(error) => {
            assert!(!kernel_has_ipvlan(), "{error}");
            let text = error.to_string();
            assert!(
                text.contains("ipvlan") && text.contains("not supported"),
                "{text}"
            );
        }
    }
    assert_eq!(namespaces("lab-ipvlan-"), Vec::<String>::new());
}

/// The module may be loadable and not loaded yet, which trying to make a device finds out.
fn kernel_has_ipvlan() -> bool {
    let lab = common::build("lab-has-ipvlan");
    let node = lab.node_namespace("node-a").unwrap().name();
    let add = "link add link eth0 name ipvlan-test type ipvlan";
    let arguments = ["-n", node].into_iter().chain(add.split(' '));
    Command::new("ip")
        .args(arguments)
        .output()
        .unwrap()
        .status
        .success()
}

#[test]
fn a_tunnel_needs_nodes_with_addresses() {
    let mut lost = topology();
    lost.nodes[1].addresses.clear();
    let refused = Lab::build_wired(&lost, Wiring::Vxlan, "lab-tunnel").unwrap_err();
    assert!(matches!(refused, LabError::NoCommonFamily));
    assert_eq!(namespaces("lab-tunnel-"), Vec::<String>::new());
}

#[test]
fn pods_that_a_runtime_attaches_are_reached_where_it_says() {
    let mut topology = topology();
    for pod in &mut topology.pods {
        pod.addresses.clear();
    }
    let mut lab = Lab::build_wired(&topology, Wiring::Unattached, "lab-bare").unwrap();
    let probes = both_ways(WEB, WORLD);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let unknown = lab.probe(&probes, &stop).unwrap_err();
    assert!(
        matches!(unknown, LabError::UnknownAddress(_)),
        "{unknown:?}"
    );

    let node = lab.node_namespace("node-a").unwrap().name().to_owned();
    let pod = lab.pod_namespace("shop/web").unwrap().name().to_owned();
    let ip = |line: &str| {
        let run = Command::new("ip").args(line.split_whitespace()).status();
        assert!(run.unwrap().success(), "{line}");
    };
    ip(&format!(
        "link add web netns {node} type veth peer name eth0 netns {pod}"
    ));
    ip(&format!("-n {node} link set web up"));
    ip(&format!("-n {pod} link set eth0 up"));
    ip(&format!("-n {node} addr add fe80::1 dev web"));
    ip(&format!("-n {node} addr add 169.254.1.1 dev web"));
    for (address, gateway) in [(WEB[0], "169.254.1.1"), (WEB[1], "fe80::1")] {
        ip(&format!("-n {pod} addr add {address} dev eth0"));
        ip(&format!("-n {node} route add {address} dev web"));
        ip(&format!(
            "-n {pod} route add default via {gateway} dev eth0 onlink"
        ));
    }
    for network in ["10.0.1.0/24", "fd00:10:0:1::/64"] {
        lab.route(network, "node-a").unwrap();
    }
    lab.attached("shop/web", &WEB.map(common::address)).unwrap();
    assert_eq!(blocked(&lab, &probes), []);

    let taken = lab.attached("shop/api", &WEB.map(common::address));
    assert!(matches!(
        taken.unwrap_err(),
        LabError::DuplicateAddress { .. }
    ));
    lab.attached("shop/web", &[]).unwrap();
    assert!(lab.probe(&probes, &stop).is_err());
}
