//! NP126: a named port towards addresses.

use policy_core::Direction;
use policy_core::policy::{Peer, Peers, PortSpec, Ports};

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Egress rules with a named port and an `ipBlock` peer.
    ///
    /// ## Why it matters
    /// A name is looked up on the destination pod. An address outside the cluster has no port names, so the rule allows
    /// nothing there.
    ///
    /// ## Example
    /// ```yaml
    /// egress:
    /// - to: [{ipBlock: {cidr: 192.0.2.0/24}}]
    ///   ports: [{protocol: TCP, port: https}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// egress:
    /// - to: [{ipBlock: {cidr: 192.0.2.0/24}}]
    ///   ports: [{protocol: TCP, port: 443}]
    /// ```
    ///
    /// ## No finding
    /// In ingress rules: there the name is looked up on the selected pods, whoever the peer is.
    pub(super) const RULE: Rule = Rule {
        code: "NP126",
        name: "named-port-to-block",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

/// How many blocks a finding points at.
const SHOWN: usize = 3;

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule) in input.rules() {
        let (Peers::Listed(peers), Ports::Listed(ports)) = (rule.peers, rule.ports) else {
            continue;
        };
        let blocks = peers.iter().enumerate();
        let blocks = blocks.filter(|(_, peer)| matches!(peer, Peer::Block(_)));
        let blocks: Vec<_> = blocks
            .map(|(index, _)| rule.peer_path(index).field("ipBlock").field("cidr"))
            .collect();
        if rule.direction != Direction::Egress || blocks.is_empty() {
            continue;
        }
        for (position, port) in ports.iter().enumerate() {
            let PortSpec::Named(_, name) = port else {
                continue;
            };
            let path = rule.port_path(position).field("port");
            let message = format!(
                "port {name:?} allows nothing towards addresses that are no pod's: names are looked up on pods"
            );
            let finding =
                Finding::new(&RULE, policy, path, message).with_fix("write the port's number");
            findings.add(blocks.iter().take(SHOWN).fold(finding, |finding, block| {
                finding.with_related(policy.place(block), "addresses")
            }));
        }
    }
}
