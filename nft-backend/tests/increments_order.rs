//! Changes whose order decides between a leak, a loss and neither: each is made in the one way that is right.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::net::IpAddr;

use common::watched::Watched;
use common::{boxes, class, ip, label, single};
use nft_backend::class::{Classes, Dispatch, Grant};
use nft_backend::config::Config;
use nft_backend::fake::FakeKernel;
use nft_backend::interpreter::{Conntrack, Packet, Payload};
use nft_backend::kernel::Kernel;
use nft_backend::layout::lay_out;
use nft_backend::live::{Live, Update};
use nft_backend::names::Name;
use nft_backend::ruleset::{Ruleset, Set};
use nft_backend::value::{AddressRange, Protocol};

const X: &str = "10.0.0.1";
const Y: &str = "10.0.0.2";
const P: &str = "10.0.0.3";
const Q: &str = "10.0.0.4";
const PODS: [&str; 4] = [X, Y, P, Q];

/// A class by name: its peers, an address or `a.b.c.d/16`, each with a TCP port.
type Peers<'a> = (&'a str, &'a [(&'a str, u16)]);
/// An isolated pod with its class for ingress and the one for egress; none where a name is empty.
type Isolated<'a> = (&'a str, &'a str, &'a str);

fn table(ingress: &[Peers<'_>], egress: &[Peers<'_>], pods: &[Isolated<'_>]) -> Ruleset {
    let mut classes = Classes::default();
    for (classes, given) in [
        (&mut classes.ingress, ingress),
        (&mut classes.egress, egress),
    ] {
        for (name, peers) in given {
            let grants = peers.iter().map(|(peer, port)| {
                Grant::PeerPorts(boxes(&[range(peer)], &[(Protocol::Tcp, *port, *port)]))
            });
            classes.insert(label(name), class(&[], grants));
        }
    }
    let named = |name: &str| (!name.is_empty()).then(|| label(name));
    for (pod, ingress, egress) in pods {
        let (ingress, egress) = (named(ingress), named(egress));
        classes.pods.insert(ip(pod), Dispatch { ingress, egress });
    }
    lay_out(&Config::default(), &classes).unwrap()
}

fn range(text: &str) -> AddressRange {
    match text.strip_suffix("/16") {
        Some(network) => AddressRange::prefix(ip(network), 16).unwrap(),
        None => single(text),
    }
}

/// The first packets that the pods send each other.
fn packets() -> Vec<Packet> {
    let pairs = PODS
        .iter()
        .flat_map(|from| PODS.iter().map(move |to| (ip(from), ip(to))));
    pairs
        .flat_map(|ends| [80, 81].map(|port| packet(ends, port)))
        .collect()
}

fn packet((source, destination): (IpAddr, IpAddr), port: u16) -> Packet {
    Packet {
        source,
        destination,
        payload: Payload::Transport {
            protocol: Protocol::Tcp,
            source: 40_000,
            destination: port,
        },
        conntrack: Conntrack::New,
    }
}

/// How the change is made there, and whether the generation moves on. No packet meets anything but the two rulesets.
fn change(before: &Ruleset, after: &Ruleset) -> (Update, bool) {
    let config = Config::default();
    let (mut kernel, mut live) = (Watched::default(), Live::new(config.clone()));
    live.update(&mut kernel, before).unwrap();
    let generation = |kernel: &Watched| {
        let in_force = kernel.list(&config.table).unwrap().unwrap();
        in_force.generation().unwrap().1
    };
    let former = generation(&kernel);
    kernel.watch(&packets(), before, after);
    let update = live.update(&mut kernel, after).unwrap();
    (update, generation(&kernel) != former)
}

const IN_PLACE: Update = Update::Increment;

#[test]
fn permissions_of_the_two_stages_shrink_before_they_grow() {
    let pods = [(X, "", "from"), (Y, "to", "")];
    let before = table(
        &[("to", &[(P, 80)])],
        &[("from", &[(Y, 80), (P, 80)])],
        &pods,
    );
    let after = table(
        &[("to", &[(P, 80), (X, 80)])],
        &[("from", &[(P, 80)])],
        &pods,
    );
    assert_eq!(change(&before, &after), (IN_PLACE, true));
    assert_eq!(change(&after, &before), (IN_PLACE, true));
}

/// How many waits for packets under way it takes to go from each ruleset to the next one, the load of the first left out.
fn waits(rulesets: &[Ruleset]) -> Vec<usize> {
    let (mut kernel, mut live) = (FakeKernel::new(), Live::new(Config::default()));
    let mut before = 0;
    let mut counts = Vec::new();
    for ruleset in rulesets {
        live.update(&mut kernel, ruleset).unwrap();
        let waits = kernel.waits().len();
        counts.push(waits - before);
        before = waits;
    }
    counts.split_off(1)
}

fn at_port_80<'a>(peers: &[&'a str]) -> Vec<(&'a str, u16)> {
    peers.iter().map(|peer| (*peer, 80)).collect()
}

#[test]
fn what_comes_at_the_destination_waits_for_packets_that_met_what_is_gone_at_the_source() {
    let pods = [(X, "", "from"), (Y, "to", "")];
    let of = |ingress: &[&str], egress: &[&str]| {
        let [ingress, egress] = [ingress, egress].map(at_port_80);
        table(&[("to", &ingress)], &[("from", &egress)], &pods)
    };
    let (nothing, source, destination) = (of(&[P], &[P]), of(&[P], &[P, Y]), of(&[P, X], &[P]));
    // In one update, and in two: the packets that met the first state may meet the third one.
    assert_eq!(waits(&[source.clone(), destination.clone()]), [1]);
    assert_eq!(
        waits(&[source.clone(), nothing.clone(), destination.clone()]),
        [0, 1]
    );
    // Each packet passes the source first.
    assert_eq!(waits(&[destination.clone(), source.clone()]), [0]);
    // What has waited once need not wait again.
    let more = of(&[P, X, Q], &[P]);
    assert_eq!(waits(&[source, nothing, destination, more]), [0, 1, 0]);
    // Q is no pod that is isolated.
    let (egress, ingress) = (of(&[P], &[P, Q]), of(&[P, X], &[P]));
    assert_eq!(waits(&[egress, ingress]), [0]);
    let (egress, ingress) = (of(&[P], &[P, Y]), of(&[P, Q], &[P]));
    assert_eq!(waits(&[egress, ingress]), [0]);
}

#[test]
fn a_peer_that_comes_back_as_part_of_a_block_is_never_without() {
    let pods = [(X, "to", "")];
    let address = table(
        &[("to", &[(P, 80), (Q, 81), ("10.7.0.0/16", 80)])],
        &[],
        &pods,
    );
    let block = table(
        &[("to", &[(Q, 81), ("10.0.0.0/16", 80), ("10.7.0.0/16", 80)])],
        &[],
        &pods,
    );
    assert_eq!(change(&address, &block), (IN_PLACE, false));
    assert_eq!(change(&block, &address), (IN_PLACE, true));
}

#[test]
fn a_pod_comes_to_a_class_that_is_complete() {
    let before = table(&[("to", &[(P, 80)])], &[], &[(Y, "to", "")]);
    let after = table(
        &[("to", &[(P, 80), (Q, 80)])],
        &[],
        &[(Y, "to", ""), (X, "to", "")],
    );
    assert_eq!(change(&before, &after), (Update::Switch, true));
    assert_eq!(change(&after, &before), (Update::Switch, true));
}

#[test]
fn a_pod_that_becomes_its_class_mates_peer_comes_and_goes_in_place() {
    let before = table(&[("to", &[(Y, 80)])], &[], &[(Y, "to", "")]);
    let after = table(
        &[("to", &[(Y, 80), (X, 80)])],
        &[],
        &[(Y, "to", ""), (X, "to", "")],
    );
    assert_eq!(change(&before, &after), (IN_PLACE, true));
    assert_eq!(change(&after, &before), (IN_PLACE, true));
}

#[test]
fn a_pod_that_moves_to_another_class_loses_its_flows_there() {
    let classes: [Peers<'_>; 2] = [("one", &[(P, 80)]), ("other", &[(Q, 80)])];
    let at = |class| {
        table(
            &classes,
            &[],
            &[(Y, "one", ""), (P, "other", ""), (X, class, "")],
        )
    };
    assert_eq!(change(&at("one"), &at("other")), (IN_PLACE, true));
}

#[test]
fn a_pod_that_moves_to_a_wider_class_keeps_its_flows() {
    let classes: [Peers<'_>; 2] = [("one", &[(P, 80)]), ("wide", &[(P, 80), (Q, 80)])];
    let at = |class| {
        table(
            &classes,
            &[],
            &[(Y, "one", ""), (P, "wide", ""), (X, class, "")],
        )
    };
    assert_eq!(change(&at("one"), &at("wide")), (IN_PLACE, false));
    assert_eq!(change(&at("wide"), &at("one")), (IN_PLACE, true));
}

/// The interpreter cannot see a packet that is on its way during the change.
#[test]
fn moves_that_one_packet_could_meet_at_both_ends_are_a_switch() {
    let to: [Peers<'_>; 2] = [("one", &[(X, 80)]), ("other", &[(X, 81)])];
    let from: [Peers<'_>; 2] = [("one", &[(Y, 81)]), ("other", &[(Y, 80)])];
    let others = [(P, "one", "one"), (Q, "other", "other")];
    let with = |x, y| {
        table(
            &to,
            &from,
            &[&others[..], &[(X, "", x), (Y, y, "")]].concat(),
        )
    };
    assert_eq!(
        change(&with("one", "one"), &with("other", "one")),
        (IN_PLACE, true)
    );
    assert_eq!(
        change(&with("one", "one"), &with("other", "other")),
        (Update::Switch, true)
    );
    let alone = |class| table(&to, &from, &[&others[..], &[(X, class, class)]].concat());
    assert_eq!(change(&alone("one"), &alone("other")), (IN_PLACE, true));
}

#[test]
fn an_interval_set_grows_and_shrinks_in_place() {
    let pods = [(X, "to", "")];
    let few = table(&[("to", &[("10.7.0.0/16", 80)])], &[], &pods);
    let many = table(
        &[("to", &[("10.7.0.0/16", 80), ("10.0.0.0/16", 80)])],
        &[],
        &pods,
    );
    assert_eq!(change(&few, &many), (IN_PLACE, false));
    assert_eq!(change(&many, &few), (IN_PLACE, true));
}

/// Each removal from an interval set costs a walk through it, so one that loses many elements is made anew.
#[test]
fn an_interval_set_that_loses_many_elements_is_made_anew_with_its_class_alone() {
    let blocks: Vec<String> = (1..=20).map(|block| format!("10.{block}.0.0/16")).collect();
    let peers: Vec<(&str, u16)> = blocks.iter().map(String::as_str).zip(1..).collect();
    let pods = [(X, "to", ""), (Y, "other", "")];
    let with = |count| {
        let other: Peers<'_> = ("other", &[(P, 80)]);
        table(&[("to", &peers[..count]), other], &[], &pods)
    };
    for (left, is_made_anew) in [(10, false), (1, true)] {
        let (mut kernel, mut live) = (FakeKernel::default(), Live::new(Config::default()));
        live.update(&mut kernel, &with(20)).unwrap();
        let names = |live: &Live, of: fn(&Set) -> bool| -> Vec<Name> {
            let sets = live.contents().unwrap().sets.iter();
            let fixed = ["digest", "link_local"];
            let is_fixed = |name: &Name| fixed.iter().any(|word| name.as_str().starts_with(word));
            let sets = sets.filter(|(name, set)| of(set) && !is_fixed(name));
            sets.map(|(name, _)| name.clone()).collect()
        };
        let ranges = |set: &Set| set.interval;
        let hashes = |set: &Set| !set.interval;
        let before = (names(&live, ranges), names(&live, hashes));
        assert_eq!(before.0.len(), 1);
        assert_eq!(change(&with(20), &with(left)), (IN_PLACE, true));
        let update = live.update(&mut kernel, &with(left)).unwrap();
        assert_eq!(update, IN_PLACE);
        assert_eq!(names(&live, ranges) != before.0, is_made_anew, "{left}");
        assert_eq!(names(&live, hashes), before.1);
    }
}

#[test]
fn the_first_policy_of_a_pod_and_its_end_are_made_in_place() {
    let open = table(&[], &[], &[]);
    let closed = table(
        &[("to", &[(P, 80)])],
        &[("from", &[])],
        &[(X, "to", "from")],
    );
    assert_eq!(change(&open, &closed), (IN_PLACE, true));
    assert_eq!(change(&closed, &open), (IN_PLACE, false));
}
