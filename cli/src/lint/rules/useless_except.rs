//! NP118: exceptions that leave nothing, or take away what is gone already.

use std::collections::BTreeSet;

use policy_core::Cidr;
use policy_core::policy::Peer;

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// `except` lists that together hold the whole `cidr`, and entries that other entries hold already.
    ///
    /// ## Why it matters
    /// In the first case the peer is nobody. The second is harmless, but one of the entries is likely to be a slip.
    ///
    /// ## Example
    /// ```yaml
    /// ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/9, 10.128.0.0/9]}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ipBlock: {cidr: 10.0.0.0/8, except: [10.128.0.0/9]}
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP118",
        name: "useless-except",
        severity: Severity::Warning,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, rule, index, peer) in input.peers() {
        let Peer::Block(block) = peer else { continue };
        let path = rule.peer_path(index).field("ipBlock");
        if block.addresses().is_empty() {
            let message = format!(
                "the exceptions are all of {}: this peer is nobody",
                block.cidr
            );
            let cidr = policy.place(&path.field("cidr"));
            findings.add(
                Finding::new(&RULE, policy, path.field("except"), message)
                    .with_fix("remove the exception that is not meant, or the whole peer")
                    .with_related(cidr, "nothing of this is left"),
            );
            continue;
        }
        let all: BTreeSet<Cidr> = block.except.iter().copied().collect();
        let mut seen = BTreeSet::new();
        for (position, except) in block.except.iter().enumerate() {
            if seen.insert(*except) && !is_within_another(*except, &all) {
                continue;
            }
            let message = format!("{except} is excepted already by another entry");
            findings.add(
                Finding::new(&RULE, policy, path.field("except").index(position), message)
                    .with_fix("remove it"),
            );
        }
    }
}

/// Whether one of `all` is a larger network that holds this one.
fn is_within_another(cidr: Cidr, all: &BTreeSet<Cidr>) -> bool {
    let (first, _) = cidr.range();
    (0..cidr.prefix()).any(|prefix| all.contains(&Cidr::new(first, prefix)))
}
