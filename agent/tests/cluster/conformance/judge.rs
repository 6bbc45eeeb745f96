//! Whether packets do what a truth table says, and the reference evaluator says the same.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use nopal_lab::{Probe, ProbeKind, Seen};
use policy_core::testing::Objects;
use policy_core::{Flow, FlowPort, Protocol, Verdict};
use serde_json::Value;

use super::site::{PODS, Site};
use super::table::{PORTS, Table};
use crate::runtime::PATIENCE;

/// How many flows a failure tells.
const TOLD: usize = 12;

/// A flow of a truth table, in one family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
    /// 0 for IPv4, 1 for IPv6.
    pub(super) family: usize,
}

/// How packets are sent.
pub(super) trait Prober {
    /// The flows of the table that this sends.
    fn entries(&self) -> Vec<Entry>;
    /// Which of these flows pass; beside each stands whether it is expected to.
    fn passes(&self, site: &Site, entries: &[(Entry, bool)]) -> Vec<bool>;
}

/// From pod to pod, by the pods' addresses: all of the table in all protocols.
pub(super) struct Direct;

impl Prober for Direct {
    fn entries(&self) -> Vec<Entry> {
        entries(&Protocol::ALL)
    }

    fn passes(&self, site: &Site, entries: &[(Entry, bool)]) -> Vec<bool> {
        let probe = |(entry, _): &(Entry, bool)| {
            let kind = match entry.protocol {
                Protocol::Tcp => ProbeKind::Tcp(entry.port),
                Protocol::Udp => ProbeKind::Udp(entry.port),
                Protocol::Sctp => ProbeKind::Sctp(entry.port),
            };
            let [from, to] = entry.addresses(site);
            Probe { from, to, kind }
        };
        let probes: Vec<Probe> = entries.iter().map(probe).collect();
        let seen = site.lab.probe(&probes, &AtomicBool::new(false)).unwrap();
        seen.into_iter().map(|seen| seen == Seen::Passed).collect()
    }
}

impl Entry {
    /// The addresses of both pods.
    pub(super) fn addresses(&self, site: &Site) -> [IpAddr; 2] {
        [self.from, self.to].map(|pod| site.addresses[pod][self.family])
    }
}

/// The flows of the table between different pods. What a pod sends itself is no matter of policies.
pub(super) fn entries(protocols: &[Protocol]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (from, _) in PODS {
        for (to, _) in PODS.into_iter().filter(|(to, _)| *to != from) {
            for (protocol, port) in protocols.iter().flat_map(|p| PORTS.map(|port| (*p, port))) {
                entries.extend([0, 1].map(|family| Entry {
                    from,
                    to,
                    protocol,
                    port,
                    family,
                }));
            }
        }
    }
    entries
}

/// Compares the table with the reference evaluator over these objects, and packets with the table; gives what differs.
/// What is denied must not pass a single time; what is allowed is sent again when it was lost, since this machine may be
/// busy.
pub(super) fn differences(
    site: &Site,
    prober: &impl Prober,
    table: &Table,
    objects: Vec<Value>,
) -> String {
    let expected = prober.entries().into_iter().map(|entry| {
        let allows = table.allows(entry.from, entry.to, entry.protocol, entry.port);
        (entry, allows)
    });
    let expected: Vec<(Entry, bool)> = expected.collect();
    let objects = Objects::read(objects).unwrap();
    let reference = objects.reference();
    let evaluate = |(entry, _): &(Entry, bool)| {
        let [from, to] = entry.addresses(site);
        let port = FlowPort::Port(entry.protocol, entry.port);
        reference.evaluate(&Flow { from, to, port }) == Verdict::Allow
    };
    let evaluated: Vec<bool> = expected.iter().map(evaluate).collect();
    let misread = differing(&expected, &evaluated);
    if !misread.is_empty() {
        return describe("the reference evaluator", &misread);
    }

    let begun = Instant::now();
    let mut open = expected;
    loop {
        let passed = prober.passes(site, &open);
        let wrong = differing(&open, &passed);
        if wrong.is_empty() {
            return String::new();
        }
        let has_leaked = wrong.iter().any(|(_, allowed)| !allowed);
        if has_leaked || begun.elapsed() > PATIENCE {
            return describe("packets", &wrong);
        }
        open = wrong;
    }
}

/// The entries of which something else was found than is expected.
fn differing(expected: &[(Entry, bool)], found: &[bool]) -> Vec<(Entry, bool)> {
    let entries = expected.iter().zip(found);
    let differs = entries.filter(|((_, expected), found)| expected != *found);
    differs.map(|(entry, _)| *entry).collect()
}

/// The first of these flows, and how many they are.
fn describe(who: &str, differing: &[(Entry, bool)]) -> String {
    let mut text = format!("{who}: {} flows of the table differ", differing.len());
    for (entry, expected) in differing.iter().take(TOLD) {
        let family = if entry.family == 0 { "IPv4" } else { "IPv6" };
        let (found, expected) = if *expected {
            ("denied", "allowed")
        } else {
            ("allowed", "denied")
        };
        let Entry {
            from,
            to,
            protocol,
            port,
            ..
        } = entry;
        write!(
            text,
            "\n{from} -> {to} {protocol} {port} {family} is {found}, and should be {expected}"
        )
        .unwrap();
    }
    text
}
