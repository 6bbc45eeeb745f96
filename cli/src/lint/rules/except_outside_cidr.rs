//! NP008: an except that is no strict part of its cidr.

use policy_core::problem::ProblemKind;

use crate::lint::{Certainty, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// `except` entries outside the block's `cidr`, equal to it, or of the other address family.
    ///
    /// ## Why it matters
    /// The API server refuses them. The author meant to close something that stays open, or closed the whole block.
    ///
    /// ## Example
    /// ```yaml
    /// ipBlock:
    ///   cidr: 10.0.0.0/8
    ///   except: [192.168.0.0/16]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ipBlock:
    ///   cidr: 10.0.0.0/8
    ///   except: [10.1.0.0/16]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP008",
        name: "except-outside-cidr",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, problem) in input.problems() {
        if matches!(problem.kind, ProblemKind::ExceptNotInCidr { .. }) {
            findings.add_problem(
                &RULE,
                policy,
                problem,
                Some("remove it, or move it under the ipBlock that it narrows".to_owned()),
            );
        }
    }
}
