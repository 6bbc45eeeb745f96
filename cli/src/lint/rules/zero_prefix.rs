//! NP117: a prefix of zero behind an address.

use super::written_block::written_cidrs;
use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// CIDRs such as `10.0.0.0/0`: an address that is not zero with the prefix 0.
    ///
    /// ## Why it matters
    /// The prefix 0 makes it every address, the internet included, whatever stands before it.
    ///
    /// ## Example
    /// ```yaml
    /// ipBlock: {cidr: 10.0.0.0/0}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ipBlock: {cidr: 10.0.0.0/8}
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP117",
        name: "zero-prefix",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for written in written_cidrs(input) {
        if written.cidr.prefix() == 0 && written.has_host_bits() {
            let family = if written.cidr.range().0.is_ipv4() {
                "IPv4"
            } else {
                "IPv6"
            };
            let message = format!(
                "{} is every {family} address, the internet included",
                written.text
            );
            findings.add(
                Finding::new(&RULE, written.policy, written.path, message).with_fix(format!(
                    "give the network's prefix, or write {}",
                    written.cidr
                )),
            );
        }
    }
}
