//! NP013: a protocol other than TCP, UDP and SCTP.

use policy_core::problem::ProblemKind;

use super::mistyped::{self, Topic};
use crate::lint::{Certainty, Findings, Input, Repair, Rule, Severity};

rule! {
    /// ## What it finds
    /// `protocol` values other than `TCP`, `UDP` and `SCTP`, in capitals.
    ///
    /// ## Why it matters
    /// The API server refuses them. ICMP cannot be named in a policy at all; it passes where a rule has no `ports`.
    ///
    /// ## Example
    /// ```yaml
    /// ports: [{port: 53, protocol: udp}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ports: [{port: 53, protocol: UDP}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP013",
        name: "unknown-protocol",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, problem) in input.problems() {
        let fix = match &problem.kind {
            ProblemKind::UnknownProtocol { written } => capitals(written),
            _ if mistyped::topic(problem) == Some(Topic::Protocol) => None,
            _ => continue,
        };
        let finding = findings.add_problem(&RULE, policy, problem, fix);
        if let ProblemKind::UnknownProtocol { written } = &problem.kind {
            finding.repair = known(written).map(|known| Repair::scalar(&finding.place, known));
        }
    }
}

fn capitals(written: &str) -> Option<String> {
    known(written).map(|known| format!("write {known}"))
}

fn known(written: &str) -> Option<&'static str> {
    let mut all = ["TCP", "UDP", "SCTP"].into_iter();
    all.find(|known| known.eq_ignore_ascii_case(written))
}
