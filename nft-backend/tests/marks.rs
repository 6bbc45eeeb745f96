//! The bits of the conntrack mark that hold a flow's generation: which they are, what happens when the numbers come
//! round, and what without them. Needs root, nft and ip, and fails without.
//!
//! No assertion is about time: what is to pass may take long, and for what is not to pass a short wait is enough.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::net::{Ipv4Addr, UdpSocket};

use common::flows::{LONG, NEAR, SHORT, alive, begin, silent, translate_services};
use common::netns::run_in;
use common::pair::{DB, NODE, WEB, build, in_each_family, rules};
use common::shared::Shared;
use common::ways::Way;
use common::wire::put_in_force;
use nft_backend::config::Config;
use nft_backend::fake::FakeKernel;
use nft_backend::generation::MarkBits;
use nft_backend::guard::Guard;
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::live::{Live, Update};
use nft_backend::ruleset::Ruleset;
use nopal_lab::Connection;

/// Enough flows for some parts of a dump.
const MANY: u32 = 5_000;
/// The first port of the flows that both states allow, and of those that only the wide one does.
const KEPT: u16 = 6000;
const CUT: u16 = 6100;

fn with_marks(mask: u32) -> Config {
    Config {
        marks: Some(MarkBits::from_mask(mask).unwrap()),
        ..Config::default()
    }
}

/// `web` reaches `db` on the ports of all flows, or of those alone that are kept. From the one to the other goes an
/// increment.
fn wide_and_narrow(config: &Config) -> [Ruleset; 2] {
    let ports = |first: u16| {
        ["TCP", "UDP"].map(|protocol| {
            let last = first + 9;
            format!("{{protocol: {protocol}, port: {first}, endPort: {last}}}")
        })
    };
    let state = |listed: &[String]| {
        let peer = "podSelector: {matchLabels: {app: web}}";
        let listed = listed.join(", ");
        rules(
            &format!("ingress: [{{from: [{{{peer}}}], ports: [{listed}]}}]"),
            config,
        )
    };
    [
        state(&[ports(KEPT), ports(CUT)].concat()),
        state(&ports(KEPT)),
    ]
}

/// The generation that flows are stamped with now.
fn generation(kernel: &dyn Kernel, config: &Config) -> String {
    let in_force = kernel.outline(&config.table).unwrap().unwrap();
    in_force.generation().unwrap().1.to_string()
}

/// Clearing reads the whole of the connection tracker's table, so it is done as seldom as the bits allow.
#[test]
fn marks_are_cleared_when_the_numbers_come_round_and_at_no_other_time() {
    // The first number after a clearing is 1 or the half; the era of the lower numbers lacks zero.
    for (mask, bumps_between) in [
        (0xff00_0000, [127, 128, 127, 128, 127]),
        (0xf0, [7, 8, 7, 8, 7]),
        (0x3, [1, 2, 1, 2, 1]),
    ] {
        let config = with_marks(mask);
        let [wide, narrow] = wide_and_narrow(&config);
        let mut kernel = FakeKernel::new();
        let mut live = Live::new(config.clone());
        assert_eq!(live.update(&mut kernel, &wide).unwrap(), Update::Load);
        assert_eq!(kernel.cleared().len(), 1, "what an earlier table left");
        let (mut bumps, mut cleared_at) = (0, vec![0]);
        while cleared_at.len() < 6 {
            for state in [&narrow, &wide] {
                let before = generation(&kernel, &config);
                assert_eq!(live.update(&mut kernel, state).unwrap(), Update::Increment);
                bumps += usize::from(generation(&kernel, &config) != before);
                if kernel.cleared().len() > cleared_at.len() {
                    cleared_at.push(bumps);
                }
            }
        }
        let between: Vec<usize> = cleared_at.windows(2).map(|two| two[1] - two[0]).collect();
        assert_eq!(between, bumps_between, "{mask:#x}");
    }
}

/// What was done ahead is not done again, and an era of one number alone leaves it to the change.
#[test]
fn marks_that_were_cleared_ahead_are_not_cleared_by_the_change() {
    for (mask, ahead_at, by_changes) in [
        (0xff00_0000, ["127", "255", "127", "255"], 0),
        (0x70, ["3", "7", "3", "7"], 0),
        (0x3, ["3", "3", "3", "3"], 4),
    ] {
        let config = with_marks(mask);
        let states = wide_and_narrow(&config);
        let mut kernel = FakeKernel::new();
        let mut live = Live::new(config.clone());
        live.update(&mut kernel, &states[0]).unwrap();
        let (mut ahead, mut changes_cleared) = (Vec::new(), 0);
        for state in states.iter().rev().cycle() {
            let before = kernel.cleared().len();
            assert_eq!(live.update(&mut kernel, state).unwrap(), Update::Increment);
            let changed = kernel.cleared().len();
            changes_cleared += changed - before;
            live.clear_ahead(&mut kernel).unwrap();
            if kernel.cleared().len() > changed {
                ahead.push(generation(&kernel, &config));
            }
            if ahead.len() == ahead_at.len() {
                break;
            }
        }
        assert_eq!(ahead, ahead_at, "{mask:#x}");
        assert_eq!(changes_cleared, by_changes, "{mask:#x}");
    }
}

/// Whoever changed the table meanwhile may have stamped flows with any number.
#[test]
fn marks_are_cleared_again_when_what_is_in_force_was_not_known_in_between() {
    let config = with_marks(0x70);
    let [wide, narrow] = wide_and_narrow(&config);
    let cleared_in_all = |interrupt: fn(&mut Live, &mut FakeKernel, &Ruleset)| {
        let mut kernel = FakeKernel::new();
        let mut live = Live::new(config.clone());
        live.update(&mut kernel, &wide).unwrap();
        while generation(&kernel, &config) != "3" {
            live.update(&mut kernel, &narrow).unwrap();
            live.update(&mut kernel, &wide).unwrap();
        }
        live.clear_ahead(&mut kernel).unwrap();
        interrupt(&mut live, &mut kernel, &narrow);
        live.update(&mut kernel, &narrow).unwrap();
        assert_eq!(generation(&kernel, &config), "4");
        kernel.cleared().len()
    };
    let first_and_ahead = 2;
    assert_eq!(cleared_in_all(|_, _, _| {}), first_and_ahead);
    assert_eq!(
        cleared_in_all(|live, _, _| live.forget()),
        first_and_ahead + 1
    );
    let refused = |live: &mut Live, kernel: &mut FakeKernel, narrow: &Ruleset| {
        let stderr = "a full kernel".to_owned();
        kernel.fail(1, ApplyError::Refused { stderr });
        live.update(kernel, narrow).unwrap_err();
    };
    assert_eq!(cleared_in_all(refused), first_and_ahead + 1);
}

#[test]
fn marks_are_cleared_again_after_somebody_changed_elements() {
    let config = with_marks(0x70);
    let [wide, narrow] = wide_and_narrow(&config);
    let cleared_in_all = |is_changed: bool| {
        let mut kernel = Shared::<FakeKernel>::default();
        let mut guard = Guard::new(kernel.clone(), kernel.clone(), config.clone());
        guard.update(wide.clone()).unwrap();
        while generation(&kernel, &config) != "3" {
            guard.update(narrow.clone()).unwrap();
            guard.update(wide.clone()).unwrap();
        }
        guard.clear_ahead().unwrap();
        if is_changed {
            kernel.delete_elements(&config.table);
        }
        guard.update(narrow.clone()).unwrap();
        assert_eq!(generation(&kernel, &config), "4");
        assert_eq!(guard.repairs(), u64::from(is_changed));
        kernel.kernel.borrow().cleared().len()
    };
    let first_and_ahead = 2;
    assert_eq!(cleared_in_all(false), first_and_ahead);
    assert_eq!(cleared_in_all(true), first_and_ahead + 1);
}

/// With two bits there are three generations, so the number on a silent flow is soon in force again, whether its mark was
/// cleared by the change or ahead of it.
#[test]
fn a_generation_that_comes_round_by_increments_admits_no_flow_that_slept_meanwhile() {
    come_round(Way::Nft, |_, _| Ok(()));
    come_round(Way::Netlink, Live::clear_ahead);
}

/// What is done after each update.
type Prepare = fn(&mut Live, &mut dyn Kernel) -> Result<(), ApplyError>;

fn come_round(way: Way, prepare: Prepare) {
    let (lab, nft) = build("nopal-round-live");
    let mut kernel = way.kernel(nft);
    let kernel = kernel.as_mut();
    let config = with_marks(0x3);
    let [wide, narrow] = wide_and_narrow(&config);
    let mut live = Live::new(config.clone());
    live.update(kernel, &wide).unwrap();
    let mut numbers_that_came_round = 0;
    for bumps in 1..=7 {
        live.update(kernel, &wide).unwrap();
        prepare(&mut live, kernel).unwrap();
        let stamped = generation(kernel, &config);
        let mut sleeping = in_each_family(WEB, DB).map(|(from, to)| {
            let mut connection = Connection::open(&lab, from, to, CUT, LONG).unwrap();
            assert!(connection.exchange(LONG));
            connection
        });
        for bump in 1..=bumps {
            let update = live.update(kernel, &narrow).unwrap();
            assert_eq!(update, Update::Increment);
            prepare(&mut live, kernel).unwrap();
            if bump < bumps {
                live.update(kernel, &wide).unwrap();
            }
        }
        numbers_that_came_round += usize::from(generation(kernel, &config) == stamped);
        for connection in &mut sleeping {
            assert!(
                !connection.exchange(SHORT) && !connection.push(SHORT),
                "{bumps} bumps"
            );
        }
    }
    assert!(numbers_that_came_round >= 2);
}

/// Two bits in the middle, and another program that writes all the others when a flow begins, and reads them.
#[test]
fn other_bits_of_the_mark_belong_to_other_programs() {
    let (lab, nft) = build("nopal-bits");
    let mut kernel = Way::Netlink.kernel(nft);
    let kernel = kernel.as_mut();
    let config = with_marks(0x30);
    let node = lab.node_namespace(NODE).unwrap();
    translate_services(&lab);
    let other = "table inet other {
        counter kept { }
        counter changed { }
        chain begin { type filter hook prerouting priority -50;
            ct state new ct mark set 0xabcdef0e; }
        chain end { type filter hook postrouting priority 300;
            ct mark & 0xffffffcf == 0xabcdef0e counter name kept;
            ct mark & 0xffffffcf != 0xabcdef0e counter name changed; }
    }";
    run_in(node, &["nft", other]);
    let count = |name| {
        let counter = run_in(node, &["nft", "list", "counter", "inet", "other", name]);
        let packets = counter.split("packets ").nth(1).unwrap();
        packets.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let [wide, narrow] = wide_and_narrow(&config);
    let mut live = Live::new(config.clone());
    live.update(kernel, &wide).unwrap();
    let (mut kept, mut cut) = (begin(&lab, NEAR, KEPT), begin(&lab, NEAR, CUT));
    for _ in 0..4 {
        assert_eq!(live.update(kernel, &narrow).unwrap(), Update::Increment);
        assert_eq!(alive(&mut cut), [""; 0]);
        assert_eq!(silent(&mut kept), [""; 0]);
        live.update(kernel, &wide).unwrap();
        assert_eq!(silent(&mut cut), [""; 0]);
    }
    put_in_force(kernel, &narrow, &config);
    assert_eq!(alive(&mut cut), [""; 0]);
    assert_eq!(silent(&mut kept), [""; 0]);
    assert!(count("kept") > 0);
    assert_eq!(count("changed"), 0);
}

/// A datagram for each of many flows, which nobody answers.
fn send_to_many(socket: &UdpSocket) {
    for number in 0..MANY {
        let to = (Ipv4Addr::from_bits(0x7f01_0000 + number), 9);
        // The first try may be told that a datagram before it came to a closed port.
        let sent = socket.send_to(&[0], to);
        sent.or_else(|_| socket.send_to(&[0], to)).unwrap();
    }
}

/// Many parts of a dump, and many batches of changes.
#[test]
fn the_marks_of_many_flows_are_cleared_and_their_other_bits_stay() {
    let (lab, mut kernel) = build("nopal-many");
    let node = lab.node_namespace(NODE).unwrap();
    let table = "table inet other {
        counter seen { }
        counter stamped { }
        chain out { type filter hook output priority 0; ct mark 0 ct mark set 0x0100000e; }
        chain in { type filter hook input priority 0;
            meta l4proto udp ct mark & 0x00ffffff == 0x0e counter name seen;
            meta l4proto udp ct mark & 0xff000000 != 0 counter name stamped; }
    }";
    run_in(node, &["nft", table]);
    let socket = node
        .run(|| UdpSocket::bind(("127.0.0.1", 0)))
        .unwrap()
        .unwrap();
    send_to_many(&socket);
    let packets = |name| {
        let counter = run_in(node, &["nft", "reset", "counter", "inet", "other", name]);
        let packets = counter.split("packets ").nth(1).unwrap();
        packets.split(' ').next().unwrap().parse::<u32>().unwrap()
    };
    assert_eq!((packets("seen"), packets("stamped")), (MANY, MANY));
    kernel
        .clear_marks(MarkBits::from_mask(0xff00_0000).unwrap())
        .unwrap();
    send_to_many(&socket);
    assert_eq!((packets("seen"), packets("stamped")), (MANY, 0));
}

/// A flow that nobody answers is never established, so it is judged anew all the time; the others pass on.
#[test]
fn without_marks_established_flows_pass_and_new_ones_are_judged() {
    let (lab, nft) = build("nopal-bare");
    let mut kernel = Way::Netlink.kernel(nft);
    let kernel = kernel.as_mut();
    let config = Config {
        marks: None,
        ..Config::default()
    };
    translate_services(&lab);
    let [wide, narrow] = wide_and_narrow(&config);
    let mut live = Live::new(config);
    live.update(kernel, &wide).unwrap();
    let (mut kept, mut cut) = (begin(&lab, NEAR, KEPT), begin(&lab, NEAR, CUT));
    assert_eq!(live.update(kernel, &narrow).unwrap(), Update::Increment);
    assert_eq!(silent(&mut kept), [""; 0]);
    let living = alive(&mut cut);
    assert_eq!(living.len(), 16, "{living:?}");
    assert!(living.iter().all(|name| !name.starts_with("UdpOneWay")));
    for (from, to) in in_each_family(WEB, DB) {
        assert!(Connection::open(&lab, from, to, CUT + 20, SHORT).is_err());
        assert!(Connection::open(&lab, from, to, CUT, SHORT).is_err());
        assert!(Connection::open(&lab, from, to, KEPT, LONG).is_ok());
    }
}
