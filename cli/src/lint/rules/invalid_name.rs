//! NP003: a name or namespace that the API server refuses.

use policy_core::problem::ProblemKind;

use super::mistyped::{self, Topic};
use crate::lint::{Certainty, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// `metadata.name` that is no RFC 1123 subdomain, `metadata.namespace` that is no RFC 1123 label, and names that
    /// YAML reads as numbers or booleans.
    ///
    /// ## Why it matters
    /// The API server refuses the policy, so what it should have isolated stays open.
    ///
    /// ## Example
    /// ```yaml
    /// metadata: {name: Allow_Web}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// metadata: {name: allow-web}
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP003",
        name: "invalid-name",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, problem) in input.problems() {
        if matches!(problem.kind, ProblemKind::InvalidName { .. })
            || mistyped::topic(problem) == Some(Topic::Name)
        {
            findings.add_problem(&RULE, policy, problem, None);
        }
    }
}
