//! NP004: a policy type that does not exist, too many of them, or one given twice.

use policy_core::problem::{ProblemKind, Segment};

use super::mistyped::{self, Topic};
use crate::lint::{Certainty, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// `policyTypes` entries other than `Ingress` and `Egress`, more than two entries, and (as a warning) the same
    /// entry twice.
    ///
    /// ## Why it matters
    /// The API server refuses unknown types and long lists. nopal isolates both directions of a policy with an
    /// unknown type.
    ///
    /// ## Example
    /// ```yaml
    /// policyTypes: [ingress]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// policyTypes: [Ingress]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP004",
        name: "invalid-policy-type",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, problem) in input.problems() {
        let fix = match &problem.kind {
            ProblemKind::UnknownPolicyType { written } => capitals(written),
            ProblemKind::TooManyPolicyTypes => None,
            ProblemKind::RepeatedPolicyType { .. } => {
                findings.add_problem(
                    &REPEATED,
                    policy,
                    problem,
                    Some("remove one of them".to_owned()),
                );
                continue;
            }
            _ if mistyped::topic(problem) == Some(Topic::PolicyType) => {
                let is_entry = matches!(problem.path.segments().last(), Some(Segment::Index(_)));
                (!is_entry).then(|| "write a list, such as [Ingress, Egress]".to_owned())
            }
            _ => continue,
        };
        findings.add_problem(&RULE, policy, problem, fix);
    }
}

/// The API server accepts a repeated type.
const REPEATED: Rule = Rule {
    severity: Severity::Warning,
    ..RULE
};

fn capitals(written: &str) -> Option<String> {
    let known = ["Ingress", "Egress"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(written));
    known.map(|known| format!("write {known}"))
}
