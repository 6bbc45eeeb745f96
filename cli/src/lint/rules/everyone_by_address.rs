//! NP119: blocks that hold every address of a family.

use policy_core::policy::{IpBlock, Peer, Peers};

use crate::lint::meaning::block_addresses;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Rules whose `ipBlock` peers together hold every IPv4 or every IPv6 address: `0.0.0.0/0`, or `0.0.0.0/1` beside
    /// `128.0.0.0/1`.
    ///
    /// ## Why it matters
    /// The internet may connect to the pods, or they to the internet.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - from: [{ipBlock: {cidr: 0.0.0.0/0}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - from: [{ipBlock: {cidr: 198.51.100.0/24}}]
    /// ```
    ///
    /// ## No finding
    /// A block with exceptions that nothing else in the rule allows.
    pub(super) const RULE: Rule = Rule {
        code: "NP119",
        name: "everyone-by-address",
        severity: Severity::Warning,
        certainty: Certainty::Proven,
        check,
    };
}

/// How many further blocks a finding points at.
const SHOWN: usize = 7;

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule) in input.rules() {
        let addresses = block_addresses(rule.peers);
        for (family, is_full) in [
            ("IPv4", addresses.v4.is_full()),
            ("IPv6", addresses.v6.is_full()),
        ] {
            if !is_full {
                continue;
            }
            let Peers::Listed(peers) = rule.peers else {
                continue;
            };
            let of_family = |block: &IpBlock| block.cidr.range().0.is_ipv4() == (family == "IPv4");
            let blocks = peers
                .iter()
                .enumerate()
                .filter_map(|(index, peer)| match peer {
                    Peer::Block(block) if of_family(block) => Some((index, block)),
                    _ => None,
                });
            let blocks: Vec<_> = blocks.collect();
            let is_whole = |block: &IpBlock| block.cidr.prefix() == 0 && block.except.is_empty();
            let has_whole = blocks.iter().any(|(_, block)| is_whole(block));
            let causes = blocks
                .iter()
                .filter(|(_, block)| !has_whole || is_whole(block));
            let mut places =
                causes.map(|(index, _)| rule.peer_path(*index).field("ipBlock").field("cidr"));
            let Some(first) = places.next() else { continue };
            let message = format!("every {family} address is allowed, the internet included");
            let finding = Finding::new(&RULE, policy, first, message)
                .with_fix("name the networks that are needed, or except those that are not");
            findings.add(places.take(SHOWN).fold(finding, |finding, path| {
                finding.with_related(policy.place(&path), "together with this")
            }));
        }
    }
}
