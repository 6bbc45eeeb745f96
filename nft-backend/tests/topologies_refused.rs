//! The wirings that rules cannot hold in: what policies deny is seen to pass, and every pod is told not to be enforced.
//! Needs root, nft, ip and the reference CNI plugins, and fails without; only ipvlan is a matter of the kernel.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::io::{self, Write};
use std::process::Command;

use common::ip;
use common::wire::{probe, seen};
use common::wired::{
    API, DB, FAR, NODES, build, machines, objects, put_rules_in_force, report, report_by_route,
};
use nft_backend::topology::PacketPath;
use nopal_lab::{Lab, Seen, Wiring};
use policy_core::{Flow, FlowPort, Protocol, Verdict};

/// Both ends of what `API` says to `DB`, within a node, and to `FAR`, on the other one, are isolated by it.
const POLICIES: &str = r"
---
{kind: NetworkPolicy, metadata: {namespace: shop, name: few}, spec: {
  podSelector: {matchExpressions: [{key: app, operator: In, values: [api, db, far]}]}, policyTypes: [Ingress, Egress],
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}], egress: []}}
";

/// Rules of the node hold for nothing that these pods say, and nobody is told otherwise: neither by the pods'
/// interfaces nor by the node's routes.
fn are_refused(lab: &Lab, kind: &str) {
    let objects = objects(POLICIES);
    put_rules_in_force(lab, &objects);
    let reference = objects.reference();
    let denied = [DB[0], DB[1], FAR[0]].map(|to| {
        let from = if to.contains(':') { API[1] } else { API[0] };
        let flow = Flow {
            from: ip(from),
            to: ip(to),
            port: FlowPort::Port(Protocol::Tcp, 5432),
        };
        assert_eq!(reference.evaluate(&flow), Verdict::Deny, "{flow}");
        probe(&flow)
    });
    let mut answers = seen(lab, &denied);
    for (probe, answer) in denied.iter().zip(&mut answers) {
        if *answer == Seen::Blocked {
            // On a busy machine an answer can come too late; one that a filter blocks never comes.
            *answer = seen(lab, &[*probe])[0];
        }
    }
    assert_eq!(answers, [Seen::Passed; 3], "{kind}");

    for (node, addresses) in NODES.into_iter().zip([6, 4]) {
        for report in [report(lab, node), report_by_route(lab, node)] {
            assert_eq!(report.impossible().count(), addresses, "{report}");
            assert!(report.bridges_to_switch().is_empty() && !report.is_enforced());
        }
        for placed in report(lab, node).placed {
            let path = PacketPath::SharedParent {
                kind: kind.to_owned(),
                parent: Some("eth0".to_owned()),
            };
            assert_eq!(placed.path, path, "{placed}");
        }
    }
    let line = report(lab, NODES[0]).placed[0].to_string();
    let expected = format!(
        "shop/api (10.0.1.12), {kind} on eth0: NOT ENFORCED: the node does not forward packets of {kind} devices, \
         so no rule of the node sees them; use a CNI that gives pods a veth pair, by a route or on a Linux bridge"
    );
    assert_eq!(line, expected);
}

#[test]
fn pods_on_macvlan_are_refused_and_seen_to_be_open() {
    are_refused(&build(Wiring::Macvlan, "nopal-t-macvlan"), "macvlan");
}

/// A kernel without ipvlan has no such pods. That it is one is seen without the plugin, and told.
#[test]
fn pods_on_ipvlan_are_refused_and_seen_to_be_open() {
    match Lab::build_wired(&machines(), Wiring::Ipvlan, "nopal-t-ipvlan") {
        Ok(lab) => are_refused(&lab, "ipvlan"),
        Err(error) => {
            assert!(error.to_string().contains("not supported"), "{error}");
            assert!(!kernel_has_ipvlan(), "{error}");
            let told = "not tried: pods on ipvlan, because this kernel has no ipvlan";
            writeln!(io::stderr(), "{told}").unwrap();
        }
    }
}

fn kernel_has_ipvlan() -> bool {
    let lab = build(Wiring::Routed, "nopal-t-has");
    let node = lab.node_namespace(NODES[0]).unwrap();
    let add = "link add link eth0 name tried type ipvlan".split(' ');
    let made = node.run(|| Command::new("ip").args(add).output()).unwrap();
    made.unwrap().status.success()
}
