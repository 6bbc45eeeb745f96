//! The `cidr` and `except` texts of a policy, with what they are read as.

use std::net::IpAddr;

use policy_core::{Cidr, FieldPath};

use crate::lint::Input;
use crate::lint::LintPolicy;

/// A CIDR as it is written.
pub(super) struct WrittenCidr<'a> {
    pub(super) policy: &'a LintPolicy<'a>,
    pub(super) path: FieldPath,
    pub(super) text: &'a str,
    /// The address before the slash, where it is written plainly.
    pub(super) address: Option<IpAddr>,
    /// What it is read as.
    pub(super) cidr: Cidr,
    pub(super) is_except: bool,
}

impl WrittenCidr<'_> {
    /// Whether the address is not the network's own.
    pub(super) fn has_host_bits(&self) -> bool {
        self.address.is_some_and(|address| {
            let is_mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
            !is_mapped && address != self.cidr.range().0
        })
    }
}

/// Every readable CIDR of every policy, those of rules that are not in force too.
pub(super) fn written_cidrs<'a>(input: &'a Input<'_>) -> Vec<WrittenCidr<'a>> {
    let mut found = Vec::new();
    for policy in &input.policies {
        let Some(spec) = policy.spec() else { continue };
        let ingress = spec.ingress.iter().flatten().map(|rule| rule.from.as_ref());
        let egress = spec.egress.iter().flatten().map(|rule| rule.to.as_ref());
        let lists = (ingress
            .enumerate()
            .map(|(index, peers)| ("ingress", "from", index, peers)))
        .chain(
            egress
                .enumerate()
                .map(|(index, peers)| ("egress", "to", index, peers)),
        );
        for (direction, field, rule, peers) in lists {
            for (index, peer) in peers.into_iter().flatten().enumerate() {
                let Some(block) = &peer.ip_block else {
                    continue;
                };
                let path = FieldPath::root().field("spec").field(direction).index(rule);
                let path = path.field(field).index(index).field("ipBlock");
                found.extend(written(policy, path.field("cidr"), &block.cidr, false));
                for (index, text) in block.except.iter().flatten().enumerate() {
                    let path = path.field("except").index(index);
                    found.extend(written(policy, path, text, true));
                }
            }
        }
    }
    found
}

fn written<'a>(
    policy: &'a LintPolicy<'a>,
    path: FieldPath,
    text: &'a str,
    is_except: bool,
) -> Option<WrittenCidr<'a>> {
    let cidr = Cidr::parse(text)?.cidr;
    let address = text
        .split_once('/')
        .and_then(|(address, _)| address.parse().ok());
    Some(WrittenCidr {
        policy,
        path,
        text,
        address,
        cidr,
        is_except,
    })
}
