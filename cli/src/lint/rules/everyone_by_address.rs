//! NP119: blocks that hold every address of a family.

use policy_core::Direction;
use policy_core::policy::{IpBlock, Peer};

use crate::lint::meaning::{block_addresses, joined};
use crate::lint::{Certainty, Finding, Findings, Input, LintPolicy, Rule, Severity, WrittenRule};

rule! {
    /// ## What it finds
    /// Rules whose `ipBlock` peers together hold every IPv4 or every IPv6 address: `0.0.0.0/0`, or `0.0.0.0/1` beside
    /// `128.0.0.0/1`; and rules of one policy on the same ports that do so together.
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
    for policy in &input.policies {
        for direction in Direction::ALL {
            let rules = policy.rules_of(direction);
            for is_v4 in [true, false] {
                let (whole, mut rest): (Vec<WrittenRule<'_>>, Vec<WrittenRule<'_>>) = rules
                    .iter()
                    .copied()
                    .partition(|rule| is_full(&[*rule], is_v4));
                let alone = whole.into_iter();
                findings.extend(alone.filter_map(|rule| finding(policy, &[rule], is_v4)));
                while let Some(first) = rest.first().copied() {
                    let (alike, others): (Vec<WrittenRule<'_>>, Vec<WrittenRule<'_>>) =
                        rest.into_iter().partition(|rule| rule.ports == first.ports);
                    if alike.len() > 1 && is_full(&alike, is_v4) {
                        findings.extend(finding(policy, &alike, is_v4));
                    }
                    rest = others;
                }
            }
        }
    }
}

/// Whether the blocks of these rules together hold every address of a family.
fn is_full(rules: &[WrittenRule<'_>], is_v4: bool) -> bool {
    let sets = rules.iter().map(|rule| block_addresses(rule.peers));
    let all = joined(sets.collect::<Vec<_>>().iter());
    if is_v4 {
        all.v4.is_full()
    } else {
        all.v6.is_full()
    }
}

fn finding(policy: &LintPolicy<'_>, rules: &[WrittenRule<'_>], is_v4: bool) -> Option<Finding> {
    let blocks = rules.iter().flat_map(|rule| {
        let peers = rule.numbered_peers();
        peers.filter_map(move |(index, peer)| match peer {
            Peer::Block(block) if block.cidr.range().0.is_ipv4() == is_v4 => {
                Some((rule, index, block))
            }
            _ => None,
        })
    });
    let blocks: Vec<_> = blocks.collect();
    let is_whole = |block: &IpBlock| block.cidr.prefix() == 0 && block.except.is_empty();
    let has_whole = blocks.iter().any(|(_, _, block)| is_whole(block));
    let causes = blocks
        .iter()
        .filter(|(_, _, block)| !has_whole || is_whole(block));
    let mut places =
        causes.map(|(rule, index, _)| rule.peer_path(*index).field("ipBlock").field("cidr"));
    let first = places.next()?;
    let family = if is_v4 { "IPv4" } else { "IPv6" };
    let message = format!("every {family} address is allowed, the internet included");
    let finding = Finding::new(&RULE, policy, first, message)
        .with_fix("name the networks that are needed, or except those that are not");
    Some(places.take(SHOWN).fold(finding, |finding, path| {
        finding.with_related(policy.place(&path), "together with this")
    }))
}
