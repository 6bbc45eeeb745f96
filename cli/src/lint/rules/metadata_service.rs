//! NP125: the cloud's metadata service within reach.

use std::net::{IpAddr, Ipv4Addr};

use policy_core::policy::Peer;
use policy_core::{Direction, FlowPort, Protocol};

use crate::lint::meaning::numbered;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Egress blocks that hold 169.254.169.254, on port 80. Naming the one address is information only: that is meant.
    ///
    /// ## Why it matters
    /// In most clouds it is the metadata service, which hands out the node's credentials to whoever asks.
    ///
    /// ## Example
    /// ```yaml
    /// egress:
    /// - to: [{ipBlock: {cidr: 0.0.0.0/0}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// egress:
    /// - to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]
    /// ```
    ///
    /// ## No finding
    /// Where the ports leave out 80, on which the service listens.
    pub(super) const RULE: Rule = Rule {
        code: "NP125",
        name: "metadata-service",
        severity: Severity::Warning,
        certainty: Certainty::Proven,
        check,
    };
}

/// Where the metadata service of most clouds listens.
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule, index, peer) in input.peers() {
        let Peer::Block(block) = peer else { continue };
        let reaches = rule.direction == Direction::Egress
            && numbered(rule.ports).contains(FlowPort::Port(Protocol::Tcp, 80))
            && block.cidr.contains(METADATA)
            && !block.except.iter().any(|except| except.contains(METADATA));
        if !reaches {
            continue;
        }
        let path = rule.peer_path(index).field("ipBlock").field("cidr");
        let message = format!(
            "the cloud's metadata service at {METADATA} is in {}",
            block.cidr
        );
        let severity = if block.cidr.prefix() == 32 {
            Severity::Info
        } else {
            Severity::Warning
        };
        findings.add(
            Finding::new(&RULE, policy, path, message)
                .with_severity(severity)
                .with_fix(format!(
                    "add except: [{METADATA}/32], and leave it out of every other rule"
                )),
        );
    }
}
