//! NP018: a CIDR that only older API servers accepted.

use policy_core::problem::ProblemKind;

use crate::lint::{Certainty, Findings, Input, Rule, Severity};

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
        if let ProblemKind::LegacyCidr { canonical, .. } = &problem.kind {
            // Of an address with the prefix 0, everything is hardly what was meant.
            let fix = (!canonical.ends_with("/0")).then(|| format!("write {canonical}"));
            findings.add_problem(&RULE, policy, problem, fix);
        }
    }
}
