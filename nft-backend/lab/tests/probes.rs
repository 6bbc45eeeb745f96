//! Probes see what packets do: with no filter everything passes, with one only what it lets through.

mod common;

use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use common::{
    API, CACHE, DB, EVERYBODY, NODE_A, NODE_B, WEB, WORLD, address, blocked, build, build_from,
    filter_forwarding, nft, probe, topology,
};
use nopal_lab::{LabError, Probe, ProbeKind, Seen, patient};

const KINDS: [ProbeKind; 4] = [
    ProbeKind::Tcp(5432),
    ProbeKind::Udp(53),
    ProbeKind::Sctp(3868),
    ProbeKind::Echo,
];

fn every_pair() -> Vec<Probe> {
    let mut probes = Vec::new();
    for from in EVERYBODY {
        for to in EVERYBODY {
            for family in [0, 1] {
                probes.extend(KINDS.map(|kind| probe(from[family], to[family], kind)));
            }
        }
    }
    probes
}

#[test]
fn every_pair_passes_without_a_filter() {
    let lab = build("lab-pairs");
    assert_eq!(blocked(&lab, &every_pair()), []);
}

#[test]
fn a_filter_on_one_tcp_port_blocks_that_port_alone() {
    let lab = build("lab-port");
    filter_forwarding(&lab, "node-b", "tcp dport 5432 drop;");
    let mut probes = every_pair();
    probes.push(probe(WEB[0], DB[0], ProbeKind::Tcp(5433)));
    // node-b forwards what comes from elsewhere to its pods, what they send elsewhere, and what
    // goes from one to the other; not its own traffic, and not that of a pod with itself.
    let pods = [DB, CACHE].concat();
    let is_pod = |end| pods.iter().any(|pod| address(pod) == end);
    let own = NODE_B.map(address);
    let expected: Vec<Probe> = probes
        .iter()
        .copied()
        .filter(|probe| probe.kind == ProbeKind::Tcp(5432) && probe.from != probe.to)
        .filter(|probe| is_pod(probe.from) || is_pod(probe.to))
        .filter(|probe| !own.contains(&probe.from) && !own.contains(&probe.to))
        .collect();
    assert_eq!(expected.len(), 2 * (2 * 8 + 2));
    assert_eq!(blocked(&lab, &probes), expected);
}

#[test]
fn a_node_reaches_its_own_pods_past_the_forward_hook_and_other_nodes_do_not() {
    let lab = build("lab-own");
    filter_forwarding(&lab, "node-a", "policy drop;");
    let mut own = Vec::new();
    let mut foreign = Vec::new();
    for family in [0, 1] {
        for kind in KINDS {
            own.push(probe(NODE_A[family], WEB[family], kind));
            own.push(probe(WEB[family], NODE_A[family], kind));
            own.push(probe(WEB[family], WEB[family], kind));
            foreign.push(probe(NODE_B[family], WEB[family], kind));
            foreign.push(probe(WORLD[family], API[family], kind));
            foreign.push(probe(API[family], WEB[family], kind));
        }
    }
    assert_eq!(blocked(&lab, &own), []);
    assert_eq!(blocked(&lab, &foreign), foreign);
}

#[test]
fn a_rejected_flow_counts_as_blocked_and_conntrack_lets_replies_back() {
    let lab = build("lab-reject");
    filter_forwarding(
        &lab,
        "node-a",
        "ct state established,related accept; \
         ip saddr 10.0.1.2 accept; ip6 saddr fd00:10:0:1::2 accept; reject;",
    );
    let mut probes = Vec::new();
    let mut refused = Vec::new();
    for family in [0, 1] {
        for kind in KINDS {
            probes.push(probe(WEB[family], DB[family], kind));
            refused.push(probe(DB[family], WEB[family], kind));
        }
    }
    assert_eq!(blocked(&lab, &probes), []);
    assert_eq!(blocked(&lab, &refused), refused);
    // Nothing of a flow that passed makes a later one pass.
    nft(
        &lab,
        "node-a",
        "insert rule inet lab_test forward ct state new drop",
    );
    assert_eq!(blocked(&lab, &probes), probes);
}

#[test]
fn the_same_probe_may_stand_twice_and_every_answer_has_its_place() {
    let lab = build("lab-twice");
    filter_forwarding(&lab, "node-b", "udp dport 1 drop; sctp dport 1 drop;");
    let ports = [1, 2, 1, 1, 2];
    let udp = ports.map(|port| probe(WEB[0], DB[0], ProbeKind::Udp(port)));
    let sctp = ports.map(|port| probe(WEB[1], DB[1], ProbeKind::Sctp(port)));
    let seen = lab
        .probe(&[udp, sctp].concat(), &AtomicBool::new(false))
        .unwrap();
    let expected = ports.map(|port| {
        if port == 1 {
            Seen::Blocked
        } else {
            Seen::Passed
        }
    });
    assert_eq!(seen, [expected, expected].concat());
}

#[test]
fn probes_of_strangers_and_of_mixed_families_are_refused() {
    let lab = build("lab-stranger");
    let stop = AtomicBool::new(false);
    let stranger = probe(WEB[0], "10.9.9.9", ProbeKind::Echo);
    assert!(matches!(
        lab.probe(&[stranger], &stop),
        Err(LabError::UnknownAddress(_))
    ));
    let mixed = probe(WEB[0], DB[1], ProbeKind::Echo);
    assert!(matches!(
        lab.probe(&[mixed], &stop),
        Err(LabError::MixedFamilies { .. })
    ));
}

#[test]
fn the_stop_flag_ends_a_probe_that_waits() {
    let lab = build("lab-stop");
    filter_forwarding(&lab, "node-b", "policy drop;");
    let stop = AtomicBool::new(false);
    let probes = [probe(WEB[0], DB[0], ProbeKind::Tcp(80))];
    let start = Instant::now();
    let answer = thread::scope(|scope| {
        let waiting = scope.spawn(|| lab.probe(&probes, &stop));
        thread::sleep(Duration::from_millis(100));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        waiting.join().unwrap()
    });
    assert!(matches!(answer, Err(LabError::Interrupted)));
    assert!(start.elapsed() < patient(Duration::from_secs(1)));
}

#[test]
fn a_lab_of_ipv4_alone_and_a_node_without_address_work() {
    let mut topology = topology();
    topology.nodes[1].addresses.clear();
    for pod in &mut topology.pods {
        pod.addresses.truncate(1);
    }
    topology.nodes[0].addresses.truncate(1);
    topology.externals.truncate(1);
    let lab = build_from(&topology, "lab-four");
    let ends = [NODE_A, WEB, DB, WORLD];
    let pairs = ends
        .iter()
        .flat_map(|from| ends.iter().map(move |to| (from[0], to[0])));
    let probes: Vec<Probe> = pairs
        .flat_map(|(from, to)| KINDS.map(|kind| probe(from, to, kind)))
        .collect();
    assert_eq!(blocked(&lab, &probes), []);
}
