//! NP125: the cloud's metadata service within reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policy_core::policy::{IpBlock, Peer};
use policy_core::{Direction, FlowPort, Protocol};

use crate::lint::meaning::numbered;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Egress blocks that hold 169.254.169.254, `fd00:ec2::254` (AWS by IPv6) or 100.100.100.200 (Alibaba Cloud), on port
    /// 80. Naming the one address is information only: that is meant.
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
    /// Where the ports leave out 80, on which the service listens. Private networks such as `fd00::/8`, and blocks larger
    /// than 100.64.0.0/10, that hold one of the last two addresses among much else.
    pub(super) const RULE: Rule = Rule {
        code: "NP125",
        name: "metadata-service",
        severity: Severity::Warning,
        certainty: Certainty::Proven,
        check,
    };
}

/// Where the metadata services of clouds listen: of most; of AWS by IPv6; of Alibaba Cloud.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
];

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule, index, peer) in input.peers() {
        let Peer::Block(block) = peer else { continue };
        if rule.direction != Direction::Egress
            || !numbered(rule.ports).contains(FlowPort::Port(Protocol::Tcp, 80))
        {
            continue;
        }
        let Some(address) = METADATA
            .into_iter()
            .find(|address| is_told(block, *address))
        else {
            continue;
        };
        let path = rule.peer_path(index).field("ipBlock").field("cidr");
        let message = format!(
            "the cloud's metadata service at {address} is in {}",
            block.cidr
        );
        let length = if address.is_ipv4() { 32 } else { 128 };
        let severity = if block.cidr.prefix() == length {
            Severity::Info
        } else {
            Severity::Warning
        };
        findings.add(
            Finding::new(&RULE, policy, path, message)
                .with_severity(severity)
                .with_fix(format!(
                    "add except: [{address}/{length}], and leave it out of every other rule"
                )),
        );
    }
}

/// Whether a block lets pods connect to a service, so that it should be told. The addresses that few clouds use stand
/// within private networks that clusters use for themselves: of blocks that hold these whole nothing is said, and for IPv4
/// nothing of larger ones, which are known by the first address.
fn is_told(block: &IpBlock, address: IpAddr) -> bool {
    let prefix = block.cidr.prefix();
    let is_likely = match address {
        IpAddr::V4(_) => address == METADATA[0] || prefix >= 10,
        IpAddr::V6(_) => prefix == 0 || prefix >= 32,
    };
    is_likely
        && block.cidr.contains(address)
        && !block.except.iter().any(|except| except.contains(address))
}
