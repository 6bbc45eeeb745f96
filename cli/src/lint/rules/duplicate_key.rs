//! NP002: a key that stands twice in one mapping.

use crate::lint::{Certainty, Finding, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Mappings with the same key twice, in any object that is read.
    ///
    /// ## Why it matters
    /// YAML forbids it, the API server's reader keeps the last one: the earlier value is lost without a word.
    ///
    /// ## Example
    /// ```yaml
    /// podSelector:
    ///   matchLabels: {app: web}
    /// podSelector:
    ///   matchLabels: {tier: front}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// podSelector:
    ///   matchLabels: {app: web, tier: front}
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP002",
        name: "duplicate-key",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for object in input.objects {
        for key in &object.repeated {
            let line = key.earlier.position().line;
            findings.add(Finding {
                code: RULE.code,
                name: RULE.name,
                severity: RULE.severity,
                certainty: RULE.certainty,
                object: object.reference.clone(),
                path: key.path.clone(),
                message: format!(
                    "the key stands twice: this value counts, that of line {line} is lost"
                ),
                fix: Some("remove one of them, or put both values under one key".to_owned()),
                repair: None,
                place: key.later.clone(),
                related: vec![(key.earlier.clone(), "lost".to_owned())],
            });
        }
    }
}
