//! NP017: an API version that no API server serves.

use policy_core::problem::FieldPath;

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// A `NetworkPolicy` with an `apiVersion` other than `networking.k8s.io/v1`, such as `extensions/v1beta1`.
    ///
    /// ## Why it matters
    /// The API server refuses them since 1.16, so what they should have isolated stays open. nopal reads them like
    /// today's version.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: extensions/v1beta1
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: networking.k8s.io/v1
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP017",
        name: "removed-api-version",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let path = FieldPath::root().field("apiVersion");
    for policy in &input.policies {
        let written = &policy.object.api_version;
        if written == CURRENT {
            continue;
        }
        let message = format!("no API server serves NetworkPolicy in {written}");
        findings.add(
            Finding::new(&RULE, policy, path.clone(), message).with_fix(format!("write {CURRENT}")),
        );
    }
}

const CURRENT: &str = "networking.k8s.io/v1";
