//! NP007: text that is no CIDR.

use std::net::IpAddr;

use policy_core::problem::ProblemKind;

use super::mistyped::{self, Topic};
use crate::lint::{Certainty, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// `cidr` and `except` values that are no address with a prefix length: bare addresses, prefixes out of range,
    /// host names.
    ///
    /// ## Why it matters
    /// The API server refuses them; nopal lets the rule match nothing.
    ///
    /// ## Example
    /// ```yaml
    /// ipBlock: {cidr: 10.0.0.0/33}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ipBlock: {cidr: 10.0.0.0/24}
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP007",
        name: "invalid-cidr",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, problem) in input.problems() {
        let fix = match &problem.kind {
            ProblemKind::InvalidCidr { written } => bare_address(written),
            _ if mistyped::topic(problem) == Some(Topic::Cidr) => None,
            _ => continue,
        };
        findings.add_problem(&RULE, policy, problem, fix);
    }
}

/// A bare address is meant as the block of that address alone.
fn bare_address(written: &str) -> Option<String> {
    let prefix = match written.parse().ok()? {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    Some(format!("write {written}/{prefix}"))
}
