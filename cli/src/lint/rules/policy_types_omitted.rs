//! NP103: a policy without `policyTypes`.

use policy_core::{Direction, FieldPath};

use crate::lint::written::rules_path;
use crate::lint::{Certainty, Finding, Findings, Input, LintPolicy, Repair, Rule, Severity};
use crate::manifest::Part;

rule! {
    /// ## What it finds
    /// Policies without `policyTypes`. It is an error when only egress rules are written, and information otherwise.
    ///
    /// ## Why it matters
    /// `Ingress` is then always among the types. A policy that only speaks of egress so also denies all ingress to its
    /// pods.
    ///
    /// ## Example
    /// ```yaml
    /// egress:
    /// - to: [{podSelector: {matchLabels: {app: db}}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// policyTypes: [Egress]
    /// egress:
    /// - to: [{podSelector: {matchLabels: {app: db}}}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP103",
        name: "policy-types-omitted",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let path = FieldPath::root().field("spec");
    for policy in &input.policies {
        let says_ingress = policy.is_written(&rules_path(Direction::Ingress));
        let isolates_egress = policy.meaning.isolates(Direction::Egress);
        let spec = policy.spec();
        let has_egress = spec.is_some_and(|spec| spec.egress.iter().flatten().next().is_some());
        let empty_egress = policy.is_written(&rules_path(Direction::Egress)) && !isolates_egress;
        // Without a rule for egress it is what was not understood that closes the policy, and not the types.
        let is_closed = isolates_egress && !has_egress;
        if !policy.has_default_types() || spec.is_none() || empty_egress || is_closed {
            continue;
        }
        let (message, severity, types) = match (says_ingress, isolates_egress) {
            (false, true) => (
                "policyTypes is absent, so the policy also isolates its pods for ingress: nobody may connect to them",
                Severity::Error,
                "[Egress]",
            ),
            (true, true) => (
                "policyTypes is absent: the policy isolates its pods for ingress and egress",
                Severity::Info,
                "[Ingress, Egress]",
            ),
            (_, false) => (
                "policyTypes is absent: the policy isolates its pods for ingress alone",
                Severity::Info,
                "[Ingress]",
            ),
        };
        let mut finding = Finding::new(&RULE, policy, path.clone(), message.to_owned())
            .with_severity(severity)
            .with_fix(format!("write policyTypes: {types}"))
            .with_repair(repair(policy, types, severity));
        finding.place = policy.policy.fields.place(&path, Part::Key);
        if severity == Severity::Error {
            let rules = policy
                .policy
                .fields
                .place(&rules_path(Direction::Egress), Part::Key);
            finding = finding.with_related(rules, "only egress is spoken of");
        }
        findings.add(finding);
    }
}

/// Writes the types before the first field of `spec`. Where they are not what the policy means now, that is a guess.
fn repair(policy: &LintPolicy<'_>, types: &str, severity: Severity) -> Option<Repair> {
    let spec = FieldPath::root().field("spec");
    let fields = ["podSelector", "ingress", "egress"].map(|name| spec.field(name));
    let written = fields.iter().filter(|field| policy.is_written(field));
    let first = written.min_by_key(|field| policy.policy.fields.place(field, Part::Key).span)?;
    let types = types
        .replace("Ingress", "\"Ingress\"")
        .replace("Egress", "\"Egress\"");
    let key = policy.policy.fields.place(first, Part::Key);
    let is_json = key.source.slice(key.span).starts_with('"');
    let types = if is_json {
        types
    } else {
        types.replace('"', "")
    };
    let repair = Repair::insert(policy, &spec, first, ("policyTypes", &types))?;
    Some(if severity == Severity::Error {
        repair.unsafely()
    } else {
        repair
    })
}
