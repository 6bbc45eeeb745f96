//! A flow that another one announces, as helpers for FTP or SIP make conntrack expect it, is judged like any other: that
//! the flow which announced it is allowed says nothing about it, and neither does the mark that it inherits. Needs root,
//! nft and ip, and fails without.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::pair::{DB, NODE, WEB, build, in_each_family, rules};
use common::ways::Way;
use common::wire::put_in_force;
use nft_backend::config::Config;
use nopal_lab::{Connection, Lab, LabError};

/// The port that flows are announced on, and the one that they come to.
const CONTROL: u16 = 5432;
const DATA: u16 = 9876;

/// For what must come.
const LONG: Duration = Duration::from_secs(20);
/// For what must not come.
const SHORT: Duration = Duration::from_millis(300);

/// Whoever opens a connection to the control port makes conntrack expect one back to its own data port.
const ANNOUNCES: &str = "table ip announced {
    ct expectation data { protocol tcp; dport 9876; timeout 1m; size 8; l3proto ip; }
    chain forward { type filter hook forward priority 10; tcp dport 5432 ct state new ct expectation set \"data\"; }
}
table ip6 announced {
    ct expectation data { protocol tcp; dport 9876; timeout 1m; size 8; l3proto ip6; }
    chain forward { type filter hook forward priority 10; tcp dport 5432 ct state new ct expectation set \"data\"; }
}
table inet seen {
    counter announced { }
    chain forward { type filter hook forward priority -200; ct status expected tcp dport 9876 counter name announced; }
}";

fn nft(lab: &Lab, arguments: &[&str], script: &str) -> String {
    let work = || {
        let mut child = Command::new("nft")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(script.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    };
    let output = lab.node_namespace(NODE).unwrap().run(work).unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether some packet was one that conntrack had expected, since the last call.
fn was_expected(lab: &Lab) -> bool {
    !nft(lab, &["reset", "counter", "inet", "seen", "announced"], "").contains("packets 0 ")
}

fn open(lab: &Lab, (from, to): (IpAddr, IpAddr), port: u16) -> Result<Connection, LabError> {
    Connection::open(lab, from, to, port, LONG)
}

fn is_refused(lab: &Lab, (from, to): (IpAddr, IpAddr), port: u16) -> bool {
    let opened = Connection::open(lab, from, to, port, SHORT);
    matches!(opened, Err(LabError::NotConnected { .. }))
}

#[test]
fn an_announced_flow_passes_only_where_policies_allow_it() {
    let without_marks = Config {
        marks: None,
        ..Config::default()
    };
    for config in [Config::default(), without_marks] {
        let (lab, kernel) = build("nopal-expected");
        let mut kernel = Way::Netlink.kernel(kernel);
        nft(&lab, &["-f", "-"], ANNOUNCES);
        let denied = rules("ingress: [{ports: [{port: 7000}]}]", &config);
        let allowed = rules("ingress: [{ports: [{port: 9876}]}]", &config);
        for (out, back) in in_each_family(DB, WEB)
            .into_iter()
            .zip(in_each_family(WEB, DB))
        {
            put_in_force(kernel.as_mut(), &denied, &config);
            assert!(is_refused(&lab, back, DATA), "nothing announced it");
            let mut control = open(&lab, out, CONTROL).unwrap();
            assert!(control.exchange(LONG));
            was_expected(&lab);
            assert!(
                is_refused(&lab, back, DATA),
                "{config:?}: let in because it was announced"
            );
            assert!(was_expected(&lab));
            put_in_force(kernel.as_mut(), &allowed, &config);
            let _control = open(&lab, out, CONTROL).unwrap();
            let mut data = open(&lab, back, DATA).unwrap();
            assert!(was_expected(&lab));
            assert!(data.exchange(LONG) && data.push(LONG));
            if config.marks.is_some() {
                put_in_force(kernel.as_mut(), &denied, &config);
                assert!(
                    !data.exchange(SHORT) && !data.push(SHORT),
                    "{config:?}: not cut"
                );
            }
        }
    }
}
