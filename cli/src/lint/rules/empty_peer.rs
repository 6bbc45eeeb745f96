//! NP005: a peer that names nobody.

use policy_core::problem::ProblemKind;

use super::mistyped::{Topic, topic};
use crate::lint::{Certainty, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Entries of `from` or `to` without any field, or with nothing behind their dash.
    ///
    /// ## Why it matters
    /// The API server refuses them. Those who write one usually mean everyone, which an absent or empty list says.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - from:
    ///   - {}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - {}          # everyone
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP005",
        name: "empty-peer",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, problem) in input.problems() {
        if matches!(problem.kind, ProblemKind::EmptyPeer)
            || topic(problem) == Some(Topic::EmptyPeer)
        {
            findings.add_problem(&RULE, policy, problem, Some(FIX.to_owned()));
        }
    }
}

const FIX: &str =
    "name a peer; for everyone leave the list out, for all pods write namespaceSelector: {}";
