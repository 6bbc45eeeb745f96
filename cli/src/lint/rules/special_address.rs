//! NP124: blocks of addresses that no pod can be reached from or reach.

use std::net::IpAddr;

use policy_core::policy::Peer;
use policy_core::{Cidr, IpSet};

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// `ipBlock` peers that hold loopback, link-local, multicast, unspecified or broadcast addresses alone.
    ///
    /// ## Why it matters
    /// Policies see packets between pods and the network. Loopback traffic never leaves its pod, and the others are no
    /// address of a peer: the block matches nothing.
    ///
    /// ## Example
    /// ```yaml
    /// ipBlock: {cidr: 127.0.0.1/32}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ipBlock: {cidr: 192.0.2.10/32}
    /// ```
    ///
    /// ## No finding
    /// Single IPv4 link-local addresses: clouds and node-local DNS caches (169.254.20.10) answer there. Special addresses
    /// in `except`.
    pub(super) const RULE: Rule = Rule {
        code: "NP124",
        name: "special-address",
        severity: Severity::Warning,
        certainty: Certainty::Proven,
        check,
    };
}

const SPECIAL: [(&str, &str); 9] = [
    ("0.0.0.0/8", "unspecified"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("224.0.0.0/4", "multicast"),
    ("255.255.255.255/32", "broadcast"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("fe80::/10", "link-local"),
    ("ff00::/8", "multicast"),
];

fn check(input: &Input<'_>, findings: &mut Findings) {
    let special: Vec<(IpSet, &str)> = SPECIAL
        .iter()
        .filter_map(|(cidr, name)| Some((IpSet::from(Cidr::parse(cidr)?.cidr), *name)))
        .collect();
    for (policy, rule, index, peer) in input.peers() {
        let Peer::Block(block) = peer else { continue };
        let addresses = block.addresses();
        if addresses.is_empty() || is_single_v4_link_local(block.cidr) {
            continue;
        }
        let kind = special
            .iter()
            .find(|(range, _)| range.contains_all(&addresses));
        if let Some((_, kind)) = kind {
            let path = rule.peer_path(index).field("ipBlock").field("cidr");
            let message = format!(
                "{} holds {kind} addresses alone, which are no peer's",
                block.cidr
            );
            findings.add(
                Finding::new(&RULE, policy, path, message)
                    .with_fix("remove it, or name the peer's own network"),
            );
        }
    }
}

fn is_single_v4_link_local(cidr: Cidr) -> bool {
    matches!(cidr.range(), (IpAddr::V4(first), _) if first.is_link_local() && cidr.prefix() == 32)
}
