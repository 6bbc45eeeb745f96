//! NP903: a policy in audit mode.

use policy_core::policy::MODE_ANNOTATION;
use policy_core::{FieldPath, Mode};

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Policies in audit mode: with the annotation `nopal.dev/mode: audit`, or without this annotation in a namespace that
    /// has it.
    ///
    /// ## Why it matters
    /// Such a policy denies nothing by itself. In a direction in which only such policies isolate a pod, everything
    /// passes, and what they do not allow is counted and logged. Where another policy is enforced the pod is isolated as
    /// ever, and what the policy in audit mode allows counts with the rest. Every other program that enforces
    /// NetworkPolicies does not know the annotation and enforces the policy.
    ///
    /// ## Example
    /// ```yaml
    /// metadata:
    ///   name: web
    ///   annotations: {nopal.dev/mode: audit}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// metadata:
    ///   name: web
    ///   annotations: {nopal.dev/mode: enforce}
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP903",
        name: "audited-policy",
        severity: Severity::Info,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let audited = input.policies.iter();
    for policy in audited.filter(|policy| policy.meaning.mode == Mode::Audit) {
        let metadata = FieldPath::root().field("metadata");
        let (path, message, fix) = if policy.meaning.stated_mode.is_some() {
            (
                metadata.field("annotations").field(MODE_ANNOTATION),
                "this policy is in audit mode: it denies nothing by itself".to_owned(),
                "take the annotation away to enforce the policy".to_owned(),
            )
        } else {
            let namespace = &policy.meaning.id.namespace;
            (
                metadata.field("name"),
                format!(
                    "this policy is in audit mode, because its namespace {namespace} is: it denies nothing by itself"
                ),
                format!(
                    "write {MODE_ANNOTATION}: enforce on the policy, or take the annotation of namespace {namespace} away to enforce all its policies"
                ),
            )
        };
        findings.add(Finding::new(&RULE, policy, path, message).with_fix(fix));
    }
}
