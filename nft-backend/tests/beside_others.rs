//! Our verdicts beside the rules of other programs: what they accept and we deny stays denied, what they drop and we
//! allow stays dropped. `docs/coexistence.md` has the order of the hooks. Needs root, nft, iptables, ip and the reference
//! CNI plugins, and fails without.
//!
//! No assertion is about time: what is to pass may take long, and for what is not to pass a short wait is enough.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use common::ip;
use common::neighbours::{NEIGHBOURS, Neighbour};
use common::wire::seen;
use common::wired::{
    API, DB, FAR, NODE_A, NODES, WEB, WORLD, build, enforce, objects, on_node, run,
};
use nopal_lab::{Lab, Probe, ProbeKind, Seen, Wiring};

/// Web, the world and nobody else may send to db, on these ports.
const POLICIES: &str = r#"
---
{kind: NetworkPolicy, metadata: {namespace: shop, name: db}, spec: {podSelector: {matchLabels: {app: db}},
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}, {ipBlock: {cidr: 198.51.100.0/24}},
    {ipBlock: {cidr: "2001:db8::/32"}}], ports: [{port: 8080}, {protocol: UDP, port: 53}]}]}}
"#;
const NOBODY: &str = r"
---
{kind: NetworkPolicy, metadata: {namespace: shop, name: db}, spec: {podSelector: {matchLabels: {app: db}}}}
";

/// For what must come.
const LONG: Duration = Duration::from_secs(20);
/// For what must not come.
const SHORT: Duration = Duration::from_millis(300);

fn probes(flows: &[([&str; 2], [&str; 2], ProbeKind)]) -> Vec<Probe> {
    let in_family = |family: usize| {
        move |&(from, to, kind): &([&str; 2], [&str; 2], ProbeKind)| Probe {
            from: ip(from[family]),
            to: ip(to[family]),
            kind,
        }
    };
    let v4 = flows.iter().map(in_family(0));
    v4.chain(flows.iter().map(in_family(1))).collect()
}

/// What passes beside a program whose rules come before ours, or after them.
fn verdicts_hold_beside(neighbour: &Neighbour, comes_first: bool) {
    let lab = build(Wiring::Routed, "nopal-n");
    let load = || {
        for node in NODES {
            for (command, rules) in neighbour.rules {
                run(lab.node_namespace(node).unwrap(), command, rules);
            }
        }
    };
    if comes_first {
        load();
    }
    enforce(&lab, &objects(POLICIES));
    if !comes_first {
        load();
    }
    let allowed = probes(&[
        (WEB, DB, ProbeKind::Tcp(8080)),
        (WEB, DB, ProbeKind::Udp(53)),
        (WORLD, DB, ProbeKind::Tcp(8080)),
        // Nobody isolates these two.
        (FAR, WEB, ProbeKind::Tcp(8080)),
    ]);
    let denied = probes(&[
        (API, DB, ProbeKind::Tcp(8080)),
        (WEB, DB, ProbeKind::Tcp(8081)),
        (FAR, DB, ProbeKind::Udp(53)),
        (WORLD, DB, ProbeKind::Echo),
    ]);
    let answers = seen(&lab, &[allowed.clone(), denied].concat());
    let (of_allowed, of_denied) = answers.split_at(allowed.len());
    let mut of_allowed = of_allowed.to_vec();
    if neighbour.lets_pass && of_allowed.contains(&Seen::Blocked) {
        // On a busy machine an answer can come too late; one that a filter blocks never comes.
        of_allowed = seen(&lab, &allowed);
    }
    let name = neighbour.name;
    let expected = if neighbour.lets_pass {
        Seen::Passed
    } else {
        Seen::Blocked
    };
    assert!(
        of_allowed.iter().all(|seen| *seen == expected),
        "{name}: {of_allowed:?}"
    );
    assert!(
        of_denied.iter().all(|seen| *seen == Seen::Blocked),
        "{name}: {of_denied:?}"
    );
}

fn beside_every_neighbour(comes_first: bool) {
    thread::scope(|scope| {
        for neighbour in &NEIGHBOURS {
            scope.spawn(move || verdicts_hold_beside(neighbour, comes_first));
        }
    });
}

#[test]
fn verdicts_hold_beside_rules_that_were_there_before() {
    beside_every_neighbour(true);
}

#[test]
fn verdicts_hold_beside_rules_that_come_later() {
    beside_every_neighbour(false);
}

/// The configuration that a runtime hands to `portmap` after the plugin that wired the pod.
fn port_mapping(pod: &str, address: [&str; 2]) -> String {
    let [v4, v6] = address;
    format!(
        r#"{{"cniVersion": "1.0.0", "name": "lab", "type": "portmap", "snat": true,
          "capabilities": {{"portMappings": true}},
          "runtimeConfig": {{"portMappings": [{{"hostPort": 30090, "containerPort": 8080, "protocol": "tcp"}}]}},
          "prevResult": {{"cniVersion": "1.0.0", "interfaces": [{{"name": "eth0", "sandbox": "{pod}"}}],
            "ips": [{{"interface": 0, "address": "{v4}/32"}}, {{"interface": 0, "address": "{v6}/128"}}]}}}}"#
    )
}

fn add_port_mapping(lab: &Lab) {
    let directories = ["/usr/lib/cni", "/opt/cni/bin"];
    let has_plugin = |directory: &&str| std::path::Path::new(directory).join("portmap").exists();
    let directory = directories.into_iter().find(has_plugin);
    let directory = directory.expect("this test needs the package containernetworking-plugins");
    let pod = lab.pod_namespace("shop/db").unwrap().path();
    let pod = pod.to_str().unwrap();
    let command = [
        "env",
        "CNI_COMMAND=ADD",
        "CNI_CONTAINERID=shop-db",
        "CNI_IFNAME=eth0",
        &format!("CNI_NETNS={pod}"),
        &format!("CNI_PATH={directory}"),
        &format!("{directory}/portmap"),
    ];
    let node = lab.node_namespace("node-a").unwrap();
    run(node, &command, &port_mapping(pod, DB));
    let rules = on_node(lab, "node-a", &["iptables-save", "-t", "nat"]);
    assert!(rules.contains("CNI-HOSTPORT-DNAT"), "{rules}");
}

/// A host port leads past every Service to the pod, and the rules see who sends.
#[test]
fn a_host_port_of_the_portmap_plugin_is_judged_by_its_pod() {
    let lab = build(Wiring::Ptp, "nopal-n-portmap");
    add_port_mapping(&lab);
    let listeners = DB.map(|address| {
        let listen = || TcpListener::bind((ip(address), 8080)).unwrap();
        lab.namespace_of(ip(address)).unwrap().run(listen).unwrap()
    });
    let reaches = |from: [&str; 2], wait| {
        [0, 1].map(|family| {
            let to = SocketAddr::new(ip(NODE_A[family]), 30_090);
            let connect = || TcpStream::connect_timeout(&to, wait).is_ok();
            lab.namespace_of(ip(from[family]))
                .unwrap()
                .run(connect)
                .unwrap()
        })
    };
    enforce(&lab, &objects(POLICIES));
    assert_eq!(reaches(WORLD, LONG), [true; 2]);
    assert_eq!(reaches(WEB, LONG), [true; 2]);
    assert_eq!(reaches(FAR, SHORT), [false; 2]);
    enforce(&lab, &objects(NOBODY));
    assert_eq!(reaches(WORLD, SHORT), [false; 2]);
    assert_eq!(reaches(WEB, SHORT), [false; 2]);
    drop(listeners);
}
