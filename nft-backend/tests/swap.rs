//! From one policy state to the next every packet is judged by the old state or by the new one: rulesets that replace
//! each other under traffic, in the kernel. Needs root, nft and ip, and fails without.
//!
//! No assertion is about time: what is to pass may take long, and for what is not to pass a short wait is enough.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(
    clippy::print_stdout,
    reason = "how much was tried is part of the result"
)]

mod common;

use std::thread;
use std::time::Duration;

use common::pair::{DB, WEB, build, in_each_family, rules};
use common::ways::Way;
use common::wire::put_in_force;
use nft_backend::config::Config;
use nft_backend::generation::MarkBits;
use nft_backend::kernel::Kernel;
use nopal_lab::{Connection, Counted, Lab, LabError, Stream, Traffic, feasible};

/// Both states let UDP 7000 and TCP 5432 in and no UDP 7001. TCP 5433 and UDP 7002 are for the first state alone, TCP
/// 5434 for the second. The one finds its peer by label in hash sets, the other by address in interval sets.
const FIRST: &str = "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{protocol: UDP, port: 7000}, \
                     {protocol: UDP, port: 7002}, {port: 5432}, {port: 5433}]}]";
const SECOND: &str = r#"ingress: [{from: [{ipBlock: {cidr: 10.0.1.0/24}}, {ipBlock: {cidr: "fd00:10:0:1::/64"}}],
                     ports: [{protocol: UDP, port: 7000}, {port: 5432}, {port: 5434}]}]"#;

const ALLOWED: u16 = 7000;
const DENIED: u16 = 7001;
const OF_THE_FIRST: u16 = 7002;

/// For what must come.
const LONG: Duration = Duration::from_secs(20);
/// For what must not come.
const SHORT: Duration = Duration::from_millis(150);

const SWAPS: u32 = 1000;
/// Labs that share the swaps and the traffic, because a swap mostly waits for the kernel.
const LABS: u32 = 4;
/// Datagrams a second, over all streams.
const RATE: u32 = 40_000;

#[test]
fn a_thousand_swaps_by_nft_lose_and_leak_nothing() {
    swap_in_labs(Way::Nft);
}

#[test]
fn a_thousand_swaps_by_netlink_lose_and_leak_nothing() {
    swap_in_labs(Way::Netlink);
}

fn swap_in_labs(way: Way) {
    thread::scope(|scope| {
        for _ in 0..LABS {
            scope.spawn(|| {
                swap_under_traffic(way, feasible(SWAPS / LABS), feasible(RATE / LABS));
            });
        }
    });
}

fn swap_under_traffic(way: Way, swaps: u32, rate: u32) {
    let (lab, nft) = build("nopal-swap");
    let mut kernel = way.kernel(nft);
    let kernel = kernel.as_mut();
    let config = Config::default();
    let states = [FIRST, SECOND].map(|spec| rules(spec, &config));
    put_in_force(kernel, &states[0], &config);
    let ends = in_each_family(WEB, DB);
    let mut standing = ends.map(|ends| open(&lab, ends, 5432).unwrap());
    let stream = |(from, to), port| Stream { from, to, port };
    let streams: Vec<Stream> = [ALLOWED, DENIED, OF_THE_FIRST]
        .into_iter()
        .flat_map(|port| ends.map(|ends| stream(ends, port)))
        .collect();
    let traffic = Traffic::start(&lab, &streams, rate).unwrap();
    for (swap, state) in (1..=swaps).zip(states.iter().cycle().skip(1)) {
        put_in_force(kernel, state, &config);
        for connection in &mut standing {
            assert!(
                connection.exchange(LONG) && connection.push(LONG),
                "swap {swap}"
            );
        }
    }
    for (stream, Counted { sent, received }) in streams.iter().zip(traffic.stop()) {
        println!("{way:?}: {swaps} swaps, {stream:?}: {received} of {sent} arrived");
        match stream.port {
            ALLOWED => assert_eq!(received, sent, "lost"),
            DENIED => assert_eq!(received, 0, "leaked"),
            _ => assert!(0 < received && received < sent, "both states were in force"),
        }
        assert!(sent > 0);
    }
}

#[test]
fn a_connection_is_cut_both_ways_when_it_is_denied_and_recovers_when_it_is_not() {
    let (lab, mut kernel) = build("nopal-cut");
    let config = Config::default();
    let [first, second] = [FIRST, SECOND].map(|spec| rules(spec, &config));
    for ends in in_each_family(WEB, DB) {
        // Each connection sends its first packet after the switch from another end.
        put_in_force(&mut kernel, &first, &config);
        let [mut driven, mut pushed] = [(); 2].map(|()| open(&lab, ends, 5433).unwrap());
        let mut kept = open(&lab, ends, 5432).unwrap();
        put_in_force(&mut kernel, &second, &config);
        assert!(!driven.exchange(SHORT) && !driven.push(SHORT));
        assert!(!pushed.push(SHORT) && !pushed.exchange(SHORT));
        assert!(kept.push(LONG) && kept.exchange(LONG));
        put_in_force(&mut kernel, &first, &config);
        for connection in [&mut driven, &mut pushed, &mut kept] {
            assert!(connection.exchange(LONG) && connection.push(LONG));
        }
    }
}

#[test]
fn a_new_connection_is_judged_by_the_new_state_at_once() {
    let (lab, mut kernel) = build("nopal-new");
    let config = Config::default();
    for _ in 0..4 {
        for (spec, allowed, denied) in [(FIRST, 5433, 5434), (SECOND, 5434, 5433)] {
            put_in_force(&mut kernel, &rules(spec, &config), &config);
            for ends in in_each_family(WEB, DB) {
                assert!(open(&lab, ends, allowed).is_ok());
                assert!(is_refused(&lab, ends, denied));
            }
        }
    }
}

/// With two bits there are three generations, so after every third load the number on a silent flow is in force again.
#[test]
fn a_generation_that_comes_round_admits_no_flow_that_slept_meanwhile() {
    let (lab, mut kernel) = build("nopal-round");
    let config = Config {
        marks: Some(MarkBits::from_mask(0x3).unwrap()),
        ..Config::default()
    };
    let [first, second] = [FIRST, SECOND].map(|spec| rules(spec, &config));
    let mut numbers_that_came_round = 0;
    for loads in 1..=7 {
        put_in_force(&mut kernel, &first, &config);
        let stamped = generation(&kernel, &config);
        let mut sleeping = in_each_family(WEB, DB).map(|ends| {
            let mut connection = open(&lab, ends, 5433).unwrap();
            assert!(connection.exchange(LONG));
            connection
        });
        for _ in 0..loads {
            put_in_force(&mut kernel, &second, &config);
        }
        numbers_that_came_round += usize::from(generation(&kernel, &config) == stamped);
        for connection in &mut sleeping {
            assert!(
                !connection.exchange(SHORT) && !connection.push(SHORT),
                "{loads} loads"
            );
        }
    }
    assert!(numbers_that_came_round >= 2);
}

/// The number that flows are stamped with now.
fn generation(kernel: &dyn Kernel, config: &Config) -> String {
    let in_force = kernel.outline(&config.table).unwrap().unwrap();
    in_force.generation().unwrap().1.to_string()
}

type Ends = (std::net::IpAddr, std::net::IpAddr);

fn open(lab: &Lab, (from, to): Ends, port: u16) -> Result<Connection, LabError> {
    Connection::open(lab, from, to, port, LONG)
}

fn is_refused(lab: &Lab, (from, to): Ends, port: u16) -> bool {
    let opened = Connection::open(lab, from, to, port, SHORT);
    matches!(opened, Err(LabError::NotConnected { .. }))
}
