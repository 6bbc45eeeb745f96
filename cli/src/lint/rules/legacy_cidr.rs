//! NP018: a CIDR that only older API servers accepted.

use std::net::IpAddr;

use policy_core::problem::ProblemKind;

use crate::lint::{Certainty, Findings, Input, Repair, Rule, Severity};

rule! {
    /// ## What it finds
    /// `cidr` and `except` values with leading zeros, with host bits set, or in the IPv4-mapped IPv6 form.
    ///
    /// ## Why it matters
    /// Today's API server refuses them in new objects. In old ones they mean their network, which may be more than
    /// the author thought: `10.0.0.7/24` is all of `10.0.0.0/24`.
    ///
    /// ## Example
    /// ```yaml
    /// ipBlock: {cidr: 10.0.0.7/24}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ipBlock: {cidr: 10.0.0.0/24}
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP018",
        name: "legacy-cidr",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, problem) in input.problems() {
        if let ProblemKind::LegacyCidr { written, canonical } = &problem.kind {
            // Of an address with the prefix 0, everything is hardly what was meant.
            let fix = (!canonical.ends_with("/0")).then(|| format!("write {canonical}"));
            let is_fixable = fix.is_some();
            let finding = findings.add_problem(&RULE, policy, problem, fix);
            if is_fixable {
                let repair = Repair::scalar(&finding.place, canonical);
                finding.repair = Some(if means_the_same(written, canonical) {
                    repair
                } else {
                    repair.unsafely()
                });
            }
        }
    }
}

/// Whether the author can have meant nothing else: not where an address inside the network is written.
fn means_the_same(written: &str, canonical: &str) -> bool {
    let address = |text: &str| -> Option<IpAddr> {
        let (address, _) = text.split_once('/')?;
        address.parse().ok()
    };
    match address(written) {
        Some(IpAddr::V6(mapped)) if mapped.to_ipv4_mapped().is_some() => {
            mapped.to_ipv4_mapped().map(IpAddr::V4) == address(canonical)
        }
        Some(written) => Some(written) == address(canonical),
        None => false,
    }
}
