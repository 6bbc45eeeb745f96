//! NP116: an address inside a network in place of the network.

use super::written_block::written_cidrs;
use crate::lint::{Certainty, Finding, Findings, Input, Repair, Rule, Severity};

rule! {
    /// ## What it finds
    /// CIDRs with bits behind the prefix, such as `203.0.113.50/24`. It is an error in `except`.
    ///
    /// ## Why it matters
    /// What counts is the network: all of `203.0.113.0/24`, not the one address. In `except` it takes away a whole network
    /// where one address was meant. Today's API server refuses it in new objects.
    ///
    /// ## Example
    /// ```yaml
    /// ipBlock: {cidr: 203.0.113.50/24}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ipBlock: {cidr: 203.0.113.50/32}
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP116",
        name: "host-bits",
        severity: Severity::Warning,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for written in written_cidrs(input) {
        let Some(address) = written.address.filter(|_| written.has_host_bits()) else {
            continue;
        };
        if written.cidr.prefix() == 0 {
            continue;
        }
        let (cidr, width) = (written.cidr, if address.is_ipv4() { 32 } else { 128 });
        let (verb, severity) = if written.is_except {
            ("takes away", Severity::Error)
        } else {
            ("is", Severity::Warning)
        };
        let message = format!("{} {verb} all of {cidr}, not {address} alone", written.text);
        let place = written.policy.place(&written.path);
        let repair = Repair::scalar(&place, &cidr.to_string()).unsafely();
        findings.add(
            Finding::new(&RULE, written.policy, written.path, message)
                .with_repair(Some(repair))
                .with_severity(severity)
                .with_fix(format!(
                    "write {cidr} for the network, or {address}/{width} for the address"
                )),
        );
    }
}
