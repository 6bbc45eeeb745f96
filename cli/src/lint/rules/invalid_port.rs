//! NP009: a port number or name that cannot be one.

use policy_core::problem::{FieldPath, ProblemKind, Segment};

use super::mistyped::{self, Topic};
use crate::lint::{Certainty, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Port numbers outside 1 to 65535, and names that are no IANA service names: over 15 characters, with capitals,
    /// or without a letter (such as the string `"80"`).
    ///
    /// ## Why it matters
    /// The API server refuses them; nopal lets the rule match nothing.
    ///
    /// ## Example
    /// ```yaml
    /// ports: [{port: "80"}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ports: [{port: 80}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP009",
        name: "invalid-port",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, problem) in input.problems() {
        let fix = match &problem.kind {
            ProblemKind::InvalidPort { .. } if !is_end_port(&problem.path) => None,
            ProblemKind::InvalidPortName { written } => quoted_number(written),
            _ if mistyped::topic(problem) == Some(Topic::Port) => None,
            _ => continue,
        };
        findings.add_problem(&RULE, policy, problem, fix);
    }
}

/// Whether the path is that of an `endPort`, which has a rule of its own.
pub(super) fn is_end_port(path: &FieldPath) -> bool {
    matches!(path.segments().last(), Some(Segment::Field(name)) if name == "endPort")
}

fn quoted_number(written: &str) -> Option<String> {
    let number: u16 = written.parse().ok()?;
    Some(format!("write {number} without quotes"))
}
