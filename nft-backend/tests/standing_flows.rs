//! What a change does to flows that stand: those that the new state denies are cut in both directions, the others do
//! not lose a packet; in every form and for every way in which a change is made. Needs root, nft and ip, and fails
//! without.
//!
//! No assertion is about time: what is to pass may take long, and for what is not to pass a short wait is enough.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::fmt::Write;

use common::flows::{
    AFAR, LONG, NEAR, SHORT, Server, alive, begin, ports, silent, translate_services,
    while_speaking,
};
use common::netns::run_in;
use common::pair::{DB, NODE, OBJECTS, WEB, build, in_each_family};
use common::ways::Way;
use common::wire::put_in_force;
use nft_backend::config::Config;
use nft_backend::kernel::Kernel;
use nft_backend::live::{Live, Update};
use nft_backend::render::render;
use nft_backend::ruleset::Ruleset;
use nopal_lab::{Connection, feasible};
use policy_core::RuleGraph;
use policy_core::testing::Objects;

/// The first port of the flows that every state allows, and of those that a change denies.
const KEPT: u16 = 6000;
const CUT: u16 = 6100;
/// Every state allows it and the next port, and flows to them speak while changes are made.
const BUSY: u16 = 6050;

/// The rules of the node under these policies: a name, the `app` that it selects, and the rest of its spec.
fn rules(policies: &[(&str, &str, String)]) -> Ruleset {
    rules_beside("", policies)
}

/// The same with more objects on the node.
fn rules_beside(more: &str, policies: &[(&str, &str, String)]) -> Ruleset {
    let mut objects = format!("{OBJECTS}{more}");
    for (name, app, spec) in policies {
        write!(
            objects,
            "---\n{{kind: NetworkPolicy, metadata: {{namespace: shop, name: {name}}}, \
             spec: {{podSelector: {{matchLabels: {{app: {app}}}}}, {spec}}}}}\n"
        )
        .unwrap();
    }
    let graph = RuleGraph::compile(&Objects::from_yaml(&objects).unwrap().cluster());
    render(&graph, NODE, &Config::default()).unwrap()
}

/// Lets `web` reach `db` on these ports, TCP and UDP, as the one end or the other sees it.
fn only(direction: &str, ports: &[(u16, u16)]) -> String {
    let peer = if direction == "ingress" { "web" } else { "db" };
    only_with(peer, direction, ports)
}

/// The same with another peer.
fn only_with(peer: &str, direction: &str, ports: &[(u16, u16)]) -> String {
    let of = if direction == "ingress" { "from" } else { "to" };
    let mut listed = Vec::new();
    for (first, last) in ports {
        for protocol in ["TCP", "UDP"] {
            listed.push(format!(
                "{{protocol: {protocol}, port: {first}, endPort: {last}}}"
            ));
        }
    }
    let types = if direction == "ingress" {
        "Ingress"
    } else {
        "Egress"
    };
    format!(
        "policyTypes: [{types}], {direction}: [{{{of}: [{{podSelector: {{matchLabels: {{app: {peer}}}}}}}], \
         ports: [{}]}}]",
        listed.join(", ")
    )
}

fn kept() -> Vec<(u16, u16)> {
    vec![span(KEPT), (BUSY, BUSY + 1)]
}

fn kept_and(more: (u16, u16)) -> Vec<(u16, u16)> {
    [kept(), vec![more]].concat()
}

fn span(first: u16) -> (u16, u16) {
    (*ports(first).start(), *ports(first).end())
}

/// How a change is made.
#[derive(Debug, Clone, Copy)]
enum How {
    Load,
    Live(Update),
}

/// The table of the node, which is changed in that way.
struct Table {
    kernel: Box<dyn Kernel>,
    live: Live,
    how: How,
}

impl Table {
    /// Puts the first state in force.
    fn begin(&mut self, state: &Ruleset) {
        self.put(state, Update::Load);
    }

    fn change(&mut self, state: &Ruleset) {
        self.put(
            state,
            match self.how {
                How::Load => Update::Load,
                How::Live(update) => update,
            },
        );
    }

    fn put(&mut self, state: &Ruleset, expected: Update) {
        let kernel = self.kernel.as_mut();
        match self.how {
            How::Load => put_in_force(kernel, state, &Config::default()),
            How::Live(_) => assert_eq!(self.live.update(kernel, state).unwrap(), expected),
        }
    }
}

/// Begins flows under `before`, or without our table; `after` cuts those to the ports from [`CUT`] on, and with
/// `before` again they go on. A datagram of each family, straight and through the Service, is under way all the time.
/// All that by netlink and, where the machine is quick enough, by nft.
fn cut_and_recover(
    prefix: &str,
    server: Server,
    before: Option<&Ruleset>,
    after: &Ruleset,
    how: How,
) {
    for way in Way::ALL.into_iter().rev().take(feasible(2) as usize) {
        let context = format!("{prefix}, {way:?}");
        let (lab, nft) = build(prefix);
        translate_services(&lab);
        let live = Live::new(Config::default());
        let kernel = way.kernel(nft);
        let mut table = Table { kernel, live, how };
        if let Some(before) = before {
            table.begin(before);
        }
        let (mut kept, mut cut) = (begin(&lab, server, KEPT), begin(&lab, server, CUT));
        assert_eq!((kept.len(), cut.len()), (20, 20));
        let exchanges = while_speaking(&lab, server, BUSY, || {
            if before.is_some() {
                table.change(after);
            } else {
                table.begin(after);
            }
            assert_eq!(alive(&mut cut), [""; 0], "{context}: denied");
            assert_eq!(silent(&mut kept), [""; 0], "{context}: allowed");
            if let Some(before) = before {
                table.change(before);
                assert_eq!(silent(&mut cut), [""; 0], "{context}: allowed again");
                assert_eq!(silent(&mut kept), [""; 0], "{context}: allowed still");
            }
        });
        assert!(exchanges > 0, "{context}");
    }
}

#[test]
fn a_full_load_cuts_what_it_denies_and_nothing_else() {
    let [before, after] =
        [kept_and(span(CUT)), kept()].map(|ports| rules(&[("db", "db", only("ingress", &ports))]));
    cut_and_recover("nopal-st-load", NEAR, Some(&before), &after, How::Load);
}

#[test]
fn an_increment_cuts_what_it_denies_and_nothing_else() {
    let [before, after] =
        [kept_and(span(CUT)), kept()].map(|ports| rules(&[("db", "db", only("ingress", &ports))]));
    let how = How::Live(Update::Increment);
    cut_and_recover("nopal-st-incr", NEAR, Some(&before), &after, how);
}

/// A pod comes to the class of `db`, or goes, and the class gains and loses elements at the same time.
#[test]
fn a_switch_cuts_what_it_denies_and_nothing_else() {
    let mate = "---\n{kind: Pod, metadata: {namespace: shop, name: mate, labels: {app: db}}, \
                spec: {nodeName: node-a, containers: []}, status: {podIPs: [{ip: 10.0.1.99}]}}\n";
    let before = rules(&[("db", "db", only("ingress", &kept_and(span(CUT))))]);
    let instead = kept_and((CUT + 50, CUT + 50));
    let after = rules_beside(mate, &[("db", "db", only("ingress", &instead))]);
    let how = How::Live(Update::Switch);
    cut_and_recover("nopal-st-swit", NEAR, Some(&before), &after, how);
}

#[test]
fn a_policy_at_the_clients_end_cuts_what_it_denies_and_nothing_else() {
    let [before, after] =
        [kept_and(span(CUT)), kept()].map(|ports| rules(&[("web", "web", only("egress", &ports))]));
    let how = How::Live(Update::Increment);
    cut_and_recover("nopal-st-egre", NEAR, Some(&before), &after, how);
}

/// The server is on another node, which the Service's flows leave for when they are translated.
#[test]
fn a_policy_at_the_clients_end_cuts_flows_to_another_node_and_nothing_else() {
    let [before, after] = [kept_and(span(CUT)), kept()]
        .map(|ports| rules(&[("web", "web", only_with("far", "egress", &ports))]));
    let how = How::Live(Update::Increment);
    cut_and_recover("nopal-st-far", AFAR, Some(&before), &after, how);
}

#[test]
fn the_first_policy_of_a_pod_cuts_what_it_denies_and_nothing_else() {
    let other = || ("web", "web", "policyTypes: [Ingress]".to_owned());
    let before = rules(&[other()]);
    let after = rules(&[other(), ("db", "db", only("ingress", &kept()))]);
    let how = How::Live(Update::Increment);
    cut_and_recover("nopal-st-isol", NEAR, Some(&before), &after, how);
}

#[test]
fn flows_older_than_the_table_are_cut_by_the_first_load_and_by_nothing_else() {
    for (prefix, policy) in [
        ("nopal-st-old-i", ("db", "db", only("ingress", &kept()))),
        ("nopal-st-old-e", ("web", "web", only("egress", &kept()))),
    ] {
        cut_and_recover(prefix, NEAR, None, &rules(&[policy]), How::Load);
    }
}

/// Without a Service nothing makes the kernel track connections before our first load, which then sees them from the
/// middle, and does not know which end is the client.
#[test]
fn a_connection_older_than_connection_tracking_is_cut_whichever_end_speaks_first() {
    let policies = [
        ("db", "db", only("ingress", &kept())),
        ("web", "web", only("egress", &kept())),
    ];
    for (policy, way) in policies.into_iter().zip(Way::ALL) {
        let (lab, nft) = build("nopal-st-untr");
        let mut kernel = way.kernel(nft);
        for (number, (web, db)) in (0..).zip(in_each_family(WEB, DB)) {
            let open = |port| Connection::open(&lab, web, db, port + number, LONG).unwrap();
            let [mut driven, mut pushed, mut kept] = [CUT, CUT + 2, KEPT].map(open);
            let config = Config::default();
            put_in_force(
                kernel.as_mut(),
                &rules(std::slice::from_ref(&policy)),
                &config,
            );
            assert!(!driven.exchange(SHORT) && !driven.push(SHORT), "{db}");
            assert!(!pushed.push(SHORT) && !pushed.exchange(SHORT), "{db}");
            assert!(kept.exchange(LONG) && kept.push(LONG), "{db}");
            run_in(
                lab.node_namespace(NODE).unwrap(),
                &["nft", "delete table inet nopal"],
            );
        }
    }
}

/// The same for pods that no policy isolates: nothing is lost, whoever speaks.
#[test]
fn a_connection_older_than_connection_tracking_lives_where_no_policy_is() {
    let (lab, nft) = build("nopal-st-free");
    let mut kernel = Way::Netlink.kernel(nft);
    let other = ("far", "far", "policyTypes: [Ingress]".to_owned());
    let mut flows = in_each_family(WEB, DB).map(|(web, db)| {
        [KEPT, KEPT + 1].map(|port| Connection::open(&lab, web, db, port, LONG).unwrap())
    });
    put_in_force(kernel.as_mut(), &rules(&[other]), &Config::default());
    for [driven, pushed] in &mut flows {
        assert!(driven.exchange(LONG) && driven.push(LONG));
        assert!(pushed.push(LONG) && pushed.exchange(LONG));
    }
}
