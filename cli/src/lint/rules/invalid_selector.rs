//! NP014: a label selector that the API server refuses.

use policy_core::problem::ProblemKind;

use super::mistyped::{self, Topic};
use crate::lint::{Certainty, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Unknown operators, `In` and `NotIn` without values, `Exists` and `DoesNotExist` with values, keys and values
    /// that cannot be labels.
    ///
    /// ## Why it matters
    /// The API server refuses the policy. nopal lets a rule with such a peer match nothing, and a policy with such a
    /// `podSelector` allow nothing.
    ///
    /// ## Example
    /// ```yaml
    /// matchExpressions: [{key: app, operator: Exists, values: [web]}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// matchExpressions: [{key: app, operator: In, values: [web]}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP014",
        name: "invalid-selector",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, problem) in input.problems() {
        let fix = match &problem.kind {
            ProblemKind::UnknownOperator { written } => operator(written),
            ProblemKind::UnexpectedValues { .. } => {
                Some("remove the values, or use In or NotIn".to_owned())
            }
            ProblemKind::MissingValues { .. } => {
                Some("add values, or use Exists or DoesNotExist".to_owned())
            }
            ProblemKind::InvalidLabelKey { .. } | ProblemKind::InvalidLabelValue { .. } => None,
            _ if mistyped::topic(problem) == Some(Topic::Selector) => None,
            _ => continue,
        };
        findings.add_problem(&RULE, policy, problem, fix);
    }
}

fn operator(written: &str) -> Option<String> {
    let known = ["In", "NotIn", "Exists", "DoesNotExist"];
    let meant = known
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(written));
    meant.map(|meant| format!("write {meant}"))
}
