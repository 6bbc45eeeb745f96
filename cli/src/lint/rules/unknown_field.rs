//! NP001: a field that the API does not have there, or with a value of another type.

use policy_core::problem::ProblemKind;

use super::mistyped::{self, Topic};
use super::wrong_direction;
use crate::lint::{Certainty, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// Fields that `networking.k8s.io/v1` NetworkPolicy does not have at that place: typing errors, wrong capitals, a
    /// field one level too high or too low; and lists, mappings and scalars in each other's places.
    ///
    /// ## Why it matters
    /// An API server without strict validation drops such a field without a word, and what is left often allows more
    /// than was meant: a rule whose `from` is misspelt allows everyone. nopal lets the rule match nothing.
    ///
    /// ## Example
    /// ```yaml
    /// ingress:
    /// - form:
    ///   - podSelector: {matchLabels: {app: web}}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress:
    /// - from:
    ///   - podSelector: {matchLabels: {app: web}}
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP001",
        name: "unknown-field",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for (policy, problem) in input.problems() {
        if wrong_direction::direction_of(problem).is_some() {
            continue;
        }
        let fix = match &problem.kind {
            ProblemKind::UnknownField { field } => meant(field),
            ProblemKind::Mistyped { expected, found }
                if mistyped::topic(problem) == Some(Topic::Structure) =>
            {
                let lacks_dash = *expected == "a list" && found == "a mapping";
                lacks_dash.then(|| "put a dash before its first field".to_owned())
            }
            _ => continue,
        };
        findings.add_problem(&RULE, policy, problem, fix);
    }
}

/// Every field of the kind.
const FIELDS: &[&str] = &[
    "cidr",
    "egress",
    "endPort",
    "except",
    "from",
    "ingress",
    "ipBlock",
    "key",
    "matchExpressions",
    "matchLabels",
    "metadata",
    "namespaceSelector",
    "operator",
    "podSelector",
    "policyTypes",
    "port",
    "ports",
    "protocol",
    "spec",
    "to",
    "values",
];

/// The field that was probably meant.
fn meant(field: &str) -> Option<String> {
    if FIELDS.contains(&field) {
        return Some("it belongs to another place".to_owned());
    }
    alike(field).map(|known| format!("write {known}"))
}

fn alike(field: &str) -> Option<&'static str> {
    let letters = |text: &str| text.replace(['-', '_'], "").to_lowercase();
    let field = letters(field);
    let distance = |known: &str| strsim::damerau_levenshtein(&letters(known), &field);
    let closest = FIELDS.iter().min_by_key(|known| distance(known))?;
    // One slip makes a misspelling; two may already make another word.
    (distance(closest) <= 1 && field.len() > 2).then_some(closest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_fields_are_recognised_and_other_words_are_not() {
        for (written, known) in [
            ("podselector", "podSelector"),
            ("form", "from"),
            ("matchLables", "matchLabels"),
            ("ip-block", "ipBlock"),
        ] {
            assert_eq!(alike(written), Some(known), "{written}");
        }
        for written in ["fqdn", "serviceSelector", "nodeSelector", "x"] {
            assert_eq!(alike(written), None, "{written}");
        }
    }
}
