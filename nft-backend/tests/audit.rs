//! Policies in audit mode: what passes, what is counted, and what becomes of standing flows when they are enforced.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::net::IpAddr;
use std::time::Duration;

use common::pair::{DB, WEB, build, in_each_family, rules, rules_in_mode};
use common::wire::put_in_force;
use nft_backend::config::Config;
use nft_backend::fake::FakeKernel;
use nft_backend::in_force::Counted;
use nft_backend::kernel::Kernel;
use nft_backend::live::{Live, Update};
use nft_backend::nft::Nft;
use nopal_lab::{Connection, Lab};

/// For what has to happen, however busy the machine is.
const LONG: Duration = Duration::from_secs(10);
/// For what must not happen.
const SHORT: Duration = Duration::from_millis(300);

const SPEC: &str =
    "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]";
const ALLOWED: u16 = 5432;
const NOT_ALLOWED: u16 = 5433;

fn generation(kernel: &dyn Kernel, config: &Config) -> String {
    let in_force = kernel.outline(&config.table).unwrap().unwrap();
    in_force.generation().unwrap().1.to_string()
}

#[test]
fn a_change_of_mode_is_an_increment_and_only_enforcing_moves_the_generation() {
    let config = Config::default();
    let [audited, enforced] = ["audit", "enforce"].map(|mode| rules_in_mode(mode, SPEC, &config));
    let (mut kernel, mut live) = (FakeKernel::new(), Live::new(config.clone()));
    live.update(&mut kernel, &audited).unwrap();
    for (desired, moves) in [(&enforced, true), (&audited, false), (&enforced, true)] {
        let before = generation(&kernel, &config);
        let update = live.update(&mut kernel, desired).unwrap();
        assert_eq!(update, Update::Increment);
        assert_eq!(generation(&kernel, &config) != before, moves);
    }
}

#[test]
fn auditing_everything_makes_the_classes_anew_and_takes_nothing_away() {
    let config = Config::default();
    let audit_all = Config {
        audit_all: true,
        ..config.clone()
    };
    let (mut kernel, mut live) = (FakeKernel::new(), Live::new(config.clone()));
    live.update(&mut kernel, &rules(SPEC, &config)).unwrap();
    for (desired, moves) in [
        (rules(SPEC, &audit_all), false),
        (rules(SPEC, &config), true),
    ] {
        let before = generation(&kernel, &config);
        let update = live.update(&mut kernel, &desired).unwrap();
        assert_eq!(update, Update::Increment);
        assert_eq!(generation(&kernel, &config) != before, moves);
    }
}

fn counted(kernel: &Nft) -> Counted {
    kernel.counted(&Config::default().table).unwrap().unwrap()
}

fn open(
    lab: &Lab,
    (from, to): (IpAddr, IpAddr),
    port: u16,
    patience: Duration,
) -> Option<Connection> {
    Connection::open(lab, from, to, port, patience).ok()
}

#[test]
fn what_is_only_audited_passes_and_is_counted_and_is_cut_when_it_is_enforced() {
    let (lab, mut kernel) = build("nopal-audit");
    let config = Config::default();
    let [audited, enforced] = ["audit", "enforce"].map(|mode| rules_in_mode(mode, SPEC, &config));
    for ends in in_each_family(WEB, DB) {
        put_in_force(&mut kernel, &audited, &config);
        let before = counted(&kernel);
        let mut allowed = open(&lab, ends, ALLOWED, LONG).unwrap();
        assert!(allowed.exchange(LONG));
        assert_eq!(counted(&kernel), before, "what is allowed is not counted");
        let mut standing = open(&lab, ends, NOT_ALLOWED, LONG).unwrap();
        assert!(standing.exchange(LONG) && standing.push(LONG));
        let after = counted(&kernel);
        assert!(after.audited.packets > before.audited.packets);
        assert!(after.audited.bytes > before.audited.bytes);
        assert_eq!(after.denied, before.denied, "nothing is denied");

        put_in_force(&mut kernel, &enforced, &config);
        assert!(!standing.exchange(SHORT) && !standing.push(SHORT));
        assert!(allowed.exchange(LONG) && allowed.push(LONG));
        assert!(open(&lab, ends, NOT_ALLOWED, SHORT).is_none());
        assert!(counted(&kernel).denied.packets > after.denied.packets);

        put_in_force(&mut kernel, &audited, &config);
        assert!(standing.exchange(LONG) && standing.push(LONG));
    }
}

#[test]
fn nothing_is_denied_where_everything_is_audited() {
    let (lab, mut kernel) = build("nopal-auditall");
    let config = Config {
        audit_all: true,
        ..Config::default()
    };
    put_in_force(&mut kernel, &rules(SPEC, &config), &config);
    for ends in in_each_family(WEB, DB) {
        let before = counted(&kernel);
        assert!(open(&lab, ends, NOT_ALLOWED, LONG).unwrap().exchange(LONG));
        let after = counted(&kernel);
        assert!(after.audited.packets > before.audited.packets);
        assert_eq!(after.denied, before.denied);
    }
}
