//! NP902: a `nopal.dev/mode` other than `audit` and `enforce`.

use policy_core::lower;
use policy_core::problem::ProblemKind;

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};
use crate::manifest::Content;

rule! {
    /// ## What it finds
    /// Policies and namespaces whose annotation `nopal.dev/mode` is neither `audit` nor `enforce`.
    ///
    /// ## Why it matters
    /// The API server takes any annotation. nopal enforces such a policy, and the policies of such a namespace, so what
    /// should only be watched is denied.
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
        let ProblemKind::UnknownMode { written, .. } = &problem.kind else {
            continue;
        };
        findings.add_problem(&RULE, policy, problem, fix(written));
    }
    for object in input.objects {
        let Content::Namespace(namespace) = &object.content else {
            continue;
        };
        for problem in lower::namespace(namespace).1 {
            let ProblemKind::UnknownMode { written, .. } = &problem.kind else {
                continue;
            };
            let message = problem.kind.to_string();
            let mut finding = Finding::of_object(&RULE, &object.reference, &object.place, message);
            finding.fix = fix(written);
            finding.path = problem.path;
            findings.add(finding);
        }
    }
}

/// The word that was probably meant.
fn fix(written: &str) -> Option<String> {
    let mut known = ["audit", "enforce"].into_iter();
    let meant = known.find(|known| known.eq_ignore_ascii_case(written.trim()))?;
    Some(format!("write {meant}"))
}
