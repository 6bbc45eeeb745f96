//! NP902: a `nopal.dev/mode` other than `audit` and `enforce`.

use policy_core::problem::ProblemKind;

use crate::lint::{Certainty, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Policies whose annotation `nopal.dev/mode` is neither `audit` nor `enforce`.
    ///
    /// ## Why it matters
    /// The API server takes any annotation. nopal enforces such a policy, so what should only be watched is denied.
    ///
    /// ## Example
    /// ```yaml
    /// metadata:
    ///   name: web
    ///   annotations: {nopal.dev/mode: Audit}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// metadata:
    ///   name: web
    ///   annotations: {nopal.dev/mode: audit}
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP902",
        name: "unknown-mode",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, problem) in input.problems() {
        let ProblemKind::UnknownMode { written } = &problem.kind else {
            continue;
        };
        let known = ["audit", "enforce"]
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(written.trim()));
        let fix = known.map(|known| format!("write {known}"));
        findings.add_problem(&RULE, policy, problem, fix);
    }
}
