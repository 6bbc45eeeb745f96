//! NP120: everything of one address family, nothing of the other.

use policy_core::policy::{Peer, Peers};

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Rules with `0.0.0.0/0` and no IPv6 block, or with `::/0` and no IPv4 block; and rules with both of which only one
    /// has exceptions. It is a warning where the input shows a cluster with both families (by addresses of pods and nodes,
    /// by networks of nodes, by Services with both, or by a rule with blocks of both), and information otherwise.
    ///
    /// ## Why it matters
    /// A block of one family says nothing of the other. In a dual-stack cluster connections fail now and then, by the
    /// family that a name resolves to; and what is excepted in IPv4 stays open over IPv6.
    ///
    /// ## Example
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web, namespace: shop}
    /// status: {podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   policyTypes: [Egress]
    ///   egress:
    ///   - to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: Pod
    /// metadata: {name: web, namespace: shop}
    /// status: {podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {name: web, namespace: shop}
    /// spec:
    ///   policyTypes: [Egress]
    ///   egress:
    ///   - to:
    ///     - ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}
    ///     - ipBlock: {cidr: "::/0", except: ["fc00::/7"]}
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP120",
        name: "one-family-only",
        severity: Severity::Warning,
        certainty: Certainty::ClosedWorld,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule) in input.rules() {
        let Peers::Listed(peers) = rule.peers else {
            continue;
        };
        let (v4, v6) = (Family::of(peers, true), Family::of(peers, false));
        for (own, other, name, other_name, whole) in [
            (&v4, &v6, "IPv4", "IPv6", "::/0"),
            (&v6, &v4, "IPv6", "IPv4", "0.0.0.0/0"),
        ] {
            let Some(index) = own.whole else { continue };
            // Who writes blocks of both families has a cluster with both.
            let severity = if input.world.is_dual_stack() || other.blocks > 0 {
                Severity::Warning
            } else {
                Severity::Info
            };
            let (message, fix) = if other.blocks == 0 {
                (
                    format!(
                        "every {name} address is named and no {other_name} address: {other_name} is not allowed"
                    ),
                    format!("add a block for {whole}, if the cluster has {other_name}"),
                )
            } else if own.excepts && other.whole.is_some() && !other.excepts {
                (
                    format!("{name} networks are excepted, and all of {other_name} is allowed"),
                    format!("except the private networks of {other_name} too"),
                )
            } else {
                continue;
            };
            let path = rule.peer_path(index).field("ipBlock").field("cidr");
            findings.add(
                Finding::new(&RULE, policy, path, message)
                    .with_severity(severity)
                    .with_fix(fix),
            );
        }
    }
}

/// What a rule's blocks of one family are.
struct Family {
    blocks: usize,
    /// The peer whose `cidr` is the whole family.
    whole: Option<usize>,
    /// Whether that peer has exceptions.
    excepts: bool,
}

impl Family {
    fn of(peers: &[Peer], is_v4: bool) -> Self {
        let blocks = peers
            .iter()
            .enumerate()
            .filter_map(|(index, peer)| match peer {
                Peer::Block(block) if block.cidr.range().0.is_ipv4() == is_v4 => {
                    Some((index, block))
                }
                _ => None,
            });
        let whole = blocks.clone().find(|(_, block)| block.cidr.prefix() == 0);
        Self {
            blocks: blocks.count(),
            whole: whole.map(|(index, _)| index),
            excepts: whole.is_some_and(|(_, block)| !block.except.is_empty()),
        }
    }
}
