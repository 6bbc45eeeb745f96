//! NP010: an endPort below its port or out of range.

use policy_core::problem::ProblemKind;

use super::invalid_port::is_end_port;
use super::mistyped::{self, Topic};
use crate::lint::{Certainty, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// `endPort` values below `port`, or that are no port number.
    ///
    /// ## Why it matters
    /// The API server refuses them: the range is empty.
    ///
    /// ## Example
    /// ```yaml
    /// ports: [{port: 90, endPort: 80}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ports: [{port: 80, endPort: 90}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP010",
        name: "end-port-below-port",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, problem) in input.problems() {
        let is_found = match problem.kind {
            ProblemKind::EndPortBelowPort { .. } => true,
            ProblemKind::InvalidPort { .. } => is_end_port(&problem.path),
            _ => mistyped::topic(problem) == Some(Topic::EndPort),
        };
        if is_found {
            findings.add_problem(&RULE, policy, problem, None);
        }
    }
}
