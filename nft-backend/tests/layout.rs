//! Every form of grant, packet by packet, and the classes that cannot be laid out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::BTreeSet;

use common::{boxes, class, ip, label, port, range, single};
use nft_backend::Direction;
use nft_backend::class::{Classes, Dispatch, Grant, Ports, SharedPeers};
use nft_backend::config::{Config, Log};
use nft_backend::interpreter::{Conntrack, FlowWay, Outcome, Packet, Payload, execute};
use nft_backend::layout::{LayoutError, lay_out};
use nft_backend::names::Name;
use nft_backend::value::Protocol;

const POD: &str = "10.1.0.2";

/// One pod that is isolated for ingress and allows these grants.
fn isolated(grants: impl IntoIterator<Item = Grant>) -> Classes {
    let shared = SharedPeers {
        addresses: [single("10.5.0.1"), range("10.6.0.0", "10.6.0.9")].into(),
        comment: vec![],
    };
    Classes {
        shared_peers: [(label("team"), shared)].into(),
        ingress: [(label("web"), class(&[], grants))].into(),
        pods: [(
            ip(POD),
            Dispatch {
                ingress: Some(label("web")),
                egress: None,
            },
        )]
        .into(),
        ..Classes::default()
    }
}

fn tcp(number: u16) -> Payload {
    Payload::Transport {
        protocol: Protocol::Tcp,
        source: 40000,
        destination: number,
    }
}

/// Whether the pod gets a packet, and whether the answer of a stale flow comes back likewise.
fn accepts(classes: &Classes, from: &str, payload: Payload) -> bool {
    let ruleset = lay_out(&Config::default(), classes).unwrap();
    let pass = |packet: Packet| execute(&ruleset, &packet).unwrap() != Outcome::Dropped;
    let (source, destination) = (ip(from), ip(POD));
    let request = Packet {
        source,
        destination,
        payload,
        conntrack: Conntrack::New,
    };
    let payload = match payload {
        Payload::Transport {
            protocol,
            source,
            destination,
        } => Payload::Transport {
            protocol,
            source: destination,
            destination: source,
        },
        other => other,
    };
    let conntrack = Conntrack::Established {
        mark: 0,
        way: FlowWay::Reply,
    };
    let reply = Packet {
        source: destination,
        destination: source,
        payload,
        conntrack,
    };
    assert_eq!(pass(request), pass(reply), "{request:?}");
    pass(request)
}

fn only(number: u16) -> Ports {
    Ports::Only([port(Protocol::Tcp, number)].into())
}

#[test]
fn without_a_grant_nothing_passes() {
    let classes = isolated([]);
    assert!(!accepts(&classes, "10.5.0.1", tcp(80)));
    assert!(!accepts(&classes, "10.5.0.1", Payload::Icmp));
    assert!(accepts(&classes, POD, tcp(80)), "a pod reaches itself");
}

#[test]
fn everyone_on_all_ports_includes_protocols_without_ports() {
    let classes = isolated([Grant::Everyone(Ports::All)]);
    assert!(accepts(&classes, "10.9.0.1", tcp(80)));
    assert!(accepts(&classes, "10.9.0.1", Payload::Other(47)));
}

#[test]
fn everyone_on_some_ports_excludes_protocols_without_ports() {
    let classes = isolated([Grant::Everyone(only(80))]);
    assert!(accepts(&classes, "10.9.0.1", tcp(80)));
    assert!(!accepts(&classes, "10.9.0.1", tcp(81)));
    assert!(!accepts(&classes, "10.9.0.1", Payload::Icmp));
}

#[test]
fn peers_pass_on_all_ports_and_by_protocols_without() {
    let peers = [single("10.5.0.1"), range("10.6.0.0", "10.6.0.9")].into();
    let classes = isolated([Grant::Peers(peers)]);
    for from in ["10.5.0.1", "10.6.0.0", "10.6.0.9"] {
        assert!(accepts(&classes, from, tcp(1)) && accepts(&classes, from, Payload::Icmp));
    }
    assert!(!accepts(&classes, "10.6.0.10", tcp(1)));
}

#[test]
fn shared_peers_pass_only_with_the_ports_beside_them() {
    let classes = isolated([
        Grant::Shared {
            peers: label("team"),
            ports: only(80),
        },
        Grant::PeerPorts(boxes(&[single("10.9.0.1")], &[(Protocol::Tcp, 443, 443)])),
    ]);
    assert!(accepts(&classes, "10.5.0.1", tcp(80)) && accepts(&classes, "10.6.0.3", tcp(80)));
    assert!(!accepts(&classes, "10.5.0.1", tcp(443)));
    assert!(accepts(&classes, "10.9.0.1", tcp(443)) && !accepts(&classes, "10.9.0.1", tcp(80)));
    let all = isolated([Grant::Shared {
        peers: label("team"),
        ports: Ports::All,
    }]);
    assert!(accepts(&all, "10.6.0.3", Payload::Icmp) && !accepts(&all, "10.9.0.1", tcp(80)));
}

#[test]
fn what_a_class_refuses_is_told_as_the_configuration_says() {
    let limit = "limit rate 10/second burst 20 packets log prefix";
    let pass = "counter name audited goto stamp";
    let [denied, audited] = ["denied", "audited"].map(|kind| format!("counter name {kind}_i_web"));
    for (log, audit_all, expected) in [
        (Log::None, false, vec![denied.clone()]),
        (Log::None, true, vec![audited.clone(), pass.to_owned()]),
        (
            Log::Kernel(Log::RATE),
            false,
            vec![
                denied,
                format!("{limit} \"nopal-deny ingress web \" level info"),
            ],
        ),
        (
            Log::default(),
            true,
            vec![
                audited,
                format!("{limit} \"nopal-audit ingress web \" group 110"),
                pass.to_owned(),
            ],
        ),
    ] {
        let config = Config {
            log,
            audit_all,
            ..Config::default()
        };
        let (first, rules) = rules_of_web(&config);
        assert_eq!(first.unwrap(), "counter name evaluated_i_web");
        assert_eq!(rules, expected);
    }
}

#[test]
fn classes_count_only_when_the_configuration_says_so() {
    let config = Config {
        class_counters: false,
        log: Log::None,
        ..Config::default()
    };
    assert_eq!(rules_of_web(&config), (None, vec![]));
    let counters = |config| lay_out(config, &isolated([])).unwrap().counters;
    assert_eq!(counters(&config).len(), 2, "those around the classes");
    assert_eq!(counters(&Config::default()).len(), 4);
}

/// The rules of a class without grants: the first, and the others.
fn rules_of_web(config: &Config) -> (Option<String>, Vec<String>) {
    let ruleset = lay_out(config, &isolated([])).unwrap();
    let chain = &ruleset.chains[&Name::new("i_web").unwrap()];
    let mut rules = chain.rules.iter().map(ToString::to_string);
    (rules.next(), rules.collect())
}

/// Labels are free, so no label may make one class's set fall onto another's.
#[test]
fn sets_of_different_classes_never_share_a_name() {
    let mut classes = isolated([Grant::Shared {
        peers: label("team"),
        ports: only(80),
    }]);
    for other in ["web_q0", "q0_web", "web_h4", "team", "q0_web_any"] {
        classes
            .ingress
            .insert(label(other), class(&[], [Grant::Everyone(only(443))]));
    }
    assert!(!accepts(&classes, "10.5.0.1", tcp(443)) && !accepts(&classes, "10.9.0.1", tcp(443)));
    let sets = lay_out(&Config::default(), &classes).unwrap().sets.len();
    assert_eq!(
        sets,
        4 + 2 + 1 + 5,
        "own addresses, link-local ones and the generation, shared peers, their ports, other classes"
    );
}

#[test]
fn what_is_not_defined_or_overlaps_cannot_be_laid_out() {
    let error = |classes: &Classes| lay_out(&Config::default(), classes).unwrap_err();
    let mut classes = isolated([]);
    classes.ingress.clear();
    let (direction, web) = (Direction::Ingress, label("web"));
    assert_eq!(
        error(&classes),
        LayoutError::NoSuchClass {
            direction,
            class: web
        }
    );
    let mut classes = isolated([Grant::Shared {
        peers: label("team"),
        ports: Ports::All,
    }]);
    classes.shared_peers.clear();
    assert!(matches!(error(&classes), LayoutError::NoSuchPeers { .. }));
    let overlapping = BTreeSet::from([
        range("10.0.0.0", "10.0.0.9"),
        range("10.0.0.9", "10.0.0.20"),
    ]);
    let message = error(&isolated([Grant::Peers(overlapping)])).to_string();
    assert_eq!(
        message,
        "10.0.0.0-10.0.0.9 and 10.0.0.9-10.0.0.20 overlap in the set i_web_b4"
    );
}
