//! The sample node, as text and packet by packet.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::{ip, sample};
use nft_backend::config::Config;
use nft_backend::interpreter::{Conntrack, FlowWay, Outcome, Packet, Payload, execute};
use nft_backend::layout::lay_out;
use nft_backend::ruleset::Ruleset;
use nft_backend::value::Protocol;

const STAMP: u32 = 0x0100_0000;
const STALE: u32 = 0x0700_0000;

fn unmarked() -> Config {
    Config {
        marks: None,
        ..Config::default()
    }
}

fn ruleset() -> Ruleset {
    lay_out(&Config::default(), &sample()).unwrap()
}

#[test]
fn the_text_is_as_agreed() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/sample.nft");
    let text = ruleset().to_string();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(golden, &text).unwrap();
    }
    assert_eq!(
        text,
        std::fs::read_to_string(golden).unwrap(),
        "UPDATE=1 writes {golden}"
    );
}

#[test]
fn without_marks_nothing_is_reversed_or_stamped() {
    let ruleset = lay_out(&unmarked(), &sample()).unwrap();
    let text = ruleset.to_string();
    assert!(
        !text.contains("ct mark") && !text.contains("ct direction"),
        "{text}"
    );
    assert!(
        !ruleset
            .chains
            .keys()
            .any(|name| name.as_str().starts_with("ir_"))
    );
    let base = "policy accept;\n\t\tct state established,related ct state != related accept\n";
    assert!(text.contains(base), "{text}");
}

fn outcome(ruleset: &Ruleset, from: &str, to: &str, payload: Payload, ct: Conntrack) -> Outcome {
    let packet = Packet {
        source: ip(from),
        destination: ip(to),
        payload,
        conntrack: ct,
    };
    execute(ruleset, &packet).unwrap()
}

fn transport(protocol: Protocol, source: u16, destination: u16) -> Payload {
    Payload::Transport {
        protocol,
        source,
        destination,
    }
}

/// `from to port outcome`, for the first packet of a flow.
const NEW: &str = "
    10.3.1.1      10.1.0.2      tcp/8080   accept
    10.3.9.1      10.1.0.2      tcp/8080   drop
    10.3.10.0     10.1.0.2      tcp/30000  accept
    10.3.10.0     10.1.0.2      tcp/30010  accept
    10.3.10.0     10.1.0.2      tcp/30011  drop
    10.3.10.0     10.1.0.2      udp/8080   drop
    10.3.10.0     10.1.0.2      icmp       drop
    10.4.0.1      10.1.0.2      tcp/8080   drop
    fd00:3::1     fd00:1::2     tcp/8080   accept
    fd00:3::9:1   fd00:1::2     tcp/8080   drop
    10.1.0.2      10.2.0.2      tcp/5432   accept
    10.1.0.2      10.2.0.2      sctp/3868  accept
    10.1.0.2      10.2.0.2      udp/5432   drop
    10.1.0.2      10.2.0.2      tcp/53     drop
    10.1.0.2      10.9.0.1      tcp/53     accept
    10.1.0.2      10.9.0.1      udp/53     accept
    10.1.0.2      10.9.0.1      udp/54     drop
    fd00:1::2     fd00:2::2     tcp/5432   accept
    10.2.0.2      10.1.0.2      tcp/8080   drop
    10.2.0.2      10.9.0.1      tcp/9999   accept
    10.2.0.2      10.9.0.1      icmp       accept
    10.9.0.1      10.2.0.2      tcp/5432   drop
    10.1.0.2      10.1.0.2      tcp/1      accept
    fd00:2::2     fd00:2::2     icmp       accept
    10.9.0.1      10.9.0.2      tcp/1      accept
    10.9.0.1      10.9.0.2      other/47   accept
    10.9.0.1      10.2.0.2      other/47   drop
    fd00:9::1     fd00:2::2     nd         accept
";

#[test]
fn the_first_packet_of_a_flow_is_decided_by_both_stages() {
    for (ruleset, mark) in [
        (ruleset(), STAMP),
        (lay_out(&unmarked(), &sample()).unwrap(), 0),
    ] {
        for row in NEW.lines().filter(|row| !row.trim().is_empty()) {
            let [from, to, port, verdict] = row
                .split_whitespace()
                .collect::<Vec<_>>()
                .try_into()
                .unwrap();
            let number = || port.split_once('/').unwrap().1.parse::<u16>().unwrap();
            let payload = match port.split('/').next().unwrap() {
                "tcp" => transport(Protocol::Tcp, 40000, number()),
                "udp" => transport(Protocol::Udp, 40000, number()),
                "sctp" => transport(Protocol::Sctp, 40000, number()),
                "icmp" => Payload::Icmp,
                "nd" => Payload::Icmpv6Neighbour,
                _ => Payload::Other(u8::try_from(number()).unwrap()),
            };
            let mark = if payload == Payload::Icmpv6Neighbour {
                0
            } else {
                mark
            };
            let expected = match verdict {
                "accept" => Outcome::Accepted { mark },
                _ => Outcome::Dropped,
            };
            let outcome = outcome(&ruleset, from, to, payload, Conntrack::New);
            assert_eq!(outcome, expected, "{row}");
        }
    }
}

#[test]
fn a_flow_of_the_generation_in_force_passes_unevaluated() {
    for way in [FlowWay::Original, FlowWay::Reply] {
        let mark = STAMP | 0x42;
        let ct = Conntrack::Established { mark, way };
        let denied = transport(Protocol::Tcp, 1, 2);
        let outcome = outcome(&ruleset(), "10.9.0.1", "10.2.0.2", denied, ct);
        assert_eq!(outcome, Outcome::Accepted { mark });
    }
}

#[test]
fn a_stale_flow_is_evaluated_and_stamped_in_its_original_direction() {
    let ct = Conntrack::Established {
        mark: STALE | 0x42,
        way: FlowWay::Original,
    };
    let allowed = transport(Protocol::Tcp, 40000, 5432);
    let to_db = |payload| outcome(&ruleset(), "10.1.0.2", "10.2.0.2", payload, ct);
    assert_eq!(to_db(allowed), Outcome::Accepted { mark: STAMP | 0x42 });
    assert_eq!(
        to_db(transport(Protocol::Tcp, 40000, 5433)),
        Outcome::Dropped
    );
}

#[test]
fn a_reply_of_a_stale_flow_is_evaluated_in_reverse_and_not_stamped() {
    let ct = Conntrack::Established {
        mark: STALE,
        way: FlowWay::Reply,
    };
    let reply = |from, to, port| {
        outcome(
            &ruleset(),
            from,
            to,
            transport(Protocol::Tcp, port, 40000),
            ct,
        )
    };
    assert_eq!(
        reply("10.2.0.2", "10.1.0.2", 5432),
        Outcome::Accepted { mark: STALE }
    );
    assert_eq!(
        reply("10.1.0.2", "10.3.1.1", 8080),
        Outcome::Accepted { mark: STALE }
    );
    assert_eq!(reply("10.1.0.2", "10.3.9.1", 8080), Outcome::Dropped);
    assert_eq!(reply("10.2.0.2", "10.1.0.2", 5433), Outcome::Dropped);
    assert_eq!(
        reply("10.9.0.1", "10.1.0.2", 53),
        Outcome::Accepted { mark: STALE }
    );
}

/// Where an end is isolated, only what the client sends by its ports is judged; the rest is denied.
#[test]
fn a_connection_that_conntrack_did_not_see_begin_counts_from_its_clients_side() {
    let picked_up = |from, to, source, destination| {
        let payload = transport(Protocol::Tcp, source, destination);
        outcome(&ruleset(), from, to, payload, Conntrack::PickedUp)
    };
    let (web, db, other) = ("10.1.0.2", "10.2.0.2", "10.9.0.1");
    let accepted = Outcome::Accepted { mark: STAMP };
    assert_eq!(picked_up(web, db, 40000, 5432), accepted);
    assert_eq!(picked_up(web, db, 40000, 5433), Outcome::Dropped);
    assert_eq!(picked_up(db, web, 5432, 40000), Outcome::Dropped);
    assert_eq!(picked_up(db, other, 5432, 40000), Outcome::Dropped);
    assert_eq!(picked_up(db, other, 40000, 5432), accepted);
    assert_eq!(picked_up(db, other, 40000, 50051), Outcome::Dropped);
    assert_eq!(picked_up(other, "10.9.0.2", 5432, 40000), accepted);
    assert_eq!(
        picked_up("fd00:2::2", "fd00:9::1", 5432, 40000),
        Outcome::Dropped
    );
    let datagram = transport(Protocol::Udp, 5432, 40000);
    let picked_up = outcome(&ruleset(), db, other, datagram, Conntrack::PickedUp);
    assert_eq!(picked_up, accepted);
}

#[test]
fn an_icmp_error_rides_on_its_flow_and_never_stamps_it() {
    let error = |mark, from, to| {
        let ct = Conntrack::Related {
            mark,
            way: FlowWay::Original,
        };
        outcome(&ruleset(), from, to, Payload::Icmp, ct)
    };
    assert_eq!(
        error(STAMP, "10.9.0.1", "10.1.0.2"),
        Outcome::Accepted { mark: STAMP }
    );
    assert_eq!(error(STALE, "10.9.0.1", "10.1.0.2"), Outcome::Dropped);
    assert_eq!(
        error(STALE, "10.9.0.1", "10.9.0.2"),
        Outcome::Accepted { mark: STALE }
    );
}

#[test]
fn the_text_loads_as_it_stands() {
    for config in [Config::default(), unmarked()] {
        let netns = common::netns::Netns::new();
        netns.load(&lay_out(&config, &sample()).unwrap().to_string());
        assert!(
            netns
                .run(&["nft", "list", "ruleset"])
                .contains("table inet nopal")
        );
    }
}
