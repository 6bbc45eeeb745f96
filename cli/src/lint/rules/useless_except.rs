//! NP118: exceptions that leave nothing, or take away what is gone already.

use policy_core::IpSet;
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
        let mut excepted = IpSet::empty();
        for (position, except) in block.except.iter().enumerate() {
            let taken = IpSet::from(*except);
            let is_held_later = block.except[position + 1..]
                .iter()
                .any(|other| other.strictly_contains(except));
            if excepted.contains_all(&taken) || is_held_later {
                let message = format!("{except} is excepted already by the other entries");
                findings.add(
                    Finding::new(&RULE, policy, path.field("except").index(position), message)
                        .with_fix("remove it"),
                );
            }
            excepted = excepted.union(&taken);
        }
    }
}
