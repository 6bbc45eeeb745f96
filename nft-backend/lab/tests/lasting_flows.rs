//! Flows that last show what a change of the filter does to them.

mod common;

use std::thread;
use std::time::Duration;

use common::{DB, WEB, address, build, filter_forwarding, nft};
use nopal_lab::{Connection, Counted, LabError, Stream, Traffic, feasible, patient};

/// For what must come.
const LONG: Duration = Duration::from_secs(20);
/// For what must not come.
const SHORT: Duration = Duration::from_millis(500);

#[test]
fn traffic_is_counted_for_each_flow() {
    let lab = build("lab-traffic");
    filter_forwarding(&lab, "node-b", "udp dport 7001 drop;");
    let stream = |family: usize, port| Stream {
        from: address(WEB[family]),
        to: address(DB[family]),
        port,
    };
    let streams = [
        stream(0, 7000),
        stream(0, 7001),
        stream(1, 7000),
        stream(1, 7001),
    ];
    let traffic = Traffic::start(&lab, &streams, feasible(20_000)).unwrap();
    thread::sleep(patient(Duration::from_secs(2)));
    let counted = traffic.stop();
    for (stream, Counted { sent, received }) in streams.iter().zip(counted) {
        assert!(sent > u64::from(feasible(5_000)), "{stream:?} sent {sent}");
        assert_eq!(
            received,
            if stream.port == 7000 { sent } else { 0 },
            "{stream:?}"
        );
    }
}

#[test]
fn a_leak_of_a_moment_is_counted() {
    let lab = build("lab-leak");
    let closed = "udp dport 7001 drop;";
    filter_forwarding(&lab, "node-b", closed);
    let denied = Stream {
        from: address(WEB[0]),
        to: address(DB[0]),
        port: 7001,
    };
    let traffic = Traffic::start(&lab, &[denied], feasible(10_000)).unwrap();
    // The sender may be slow to begin, and nft fast: each state lasts until packets have met it.
    thread::sleep(patient(Duration::from_millis(200)));
    nft(&lab, "node-b", "flush ruleset");
    thread::sleep(patient(Duration::from_millis(200)));
    filter_forwarding(&lab, "node-b", closed);
    thread::sleep(patient(Duration::from_millis(200)));
    let counted = traffic.stop()[0];
    assert!(
        counted.received > 0 && counted.received < counted.sent,
        "{counted:?}"
    );
}

#[test]
fn a_connection_lives_until_a_filter_cuts_it_and_recovers_after() {
    let lab = build("lab-conn");
    for (from, to) in WEB.into_iter().zip(DB) {
        let (from, to) = (address(from), address(to));
        let mut connection = Connection::open(&lab, from, to, 5432, LONG).unwrap();
        assert!(connection.exchange(LONG) && connection.push(LONG));
        filter_forwarding(&lab, "node-a", "policy drop;");
        assert!(!connection.exchange(SHORT) && !connection.push(SHORT));
        let refused = Connection::open(&lab, from, to, 5432, SHORT);
        assert!(matches!(
            refused,
            Err(LabError::NotConnected { port: 5432, .. })
        ));
        nft(&lab, "node-a", "delete table inet lab_test");
        assert!(connection.exchange(LONG) && connection.push(LONG));
    }
}
