//! NP114: a selector that nothing can match.

use policy_core::FieldPath;

use crate::lint::{Certainty, Finding, Findings, Input, LintPolicy, Rule, Severity};
use crate::manifest::Place;

rule! {
    /// ## What it finds
    /// Selectors whose requirements exclude each other, so that no labels at all can match them.
    ///
    /// ## Why it matters
    /// As `podSelector` of the policy, it protects no pod; in a peer, it allows nobody.
    ///
    /// ## Example
    /// ```yaml
    /// podSelector:
    ///   matchLabels: {app: web}
    ///   matchExpressions: [{key: app, operator: NotIn, values: [web, api]}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// podSelector:
    ///   matchExpressions: [{key: app, operator: NotIn, values: [web, api]}]
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP114",
        name: "unsatisfiable-selector",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    for policy in &input.policies {
        for (path, selector) in policy.selectors() {
            let impossible = selector
                .constraints()
                .find(|(_, constraint)| !constraint.is_satisfiable());
            let Some((key, _)) = impossible else { continue };
            let message = format!(
                "nothing can match this selector: its requirements on {key} exclude each other"
            );
            let mut finding = Finding::new(&RULE, policy, path.clone(), message)
                .with_fix(format!("remove one of the requirements on {key}"));
            for place in requirements(policy, &path, key) {
                finding = finding.with_related(place, format!("a requirement on {key}"));
            }
            findings.add(finding);
        }
    }
}

/// Where the requirements on a key stand.
fn requirements(policy: &LintPolicy<'_>, selector: &FieldPath, key: &str) -> Vec<Place> {
    let label = selector.field("matchLabels").field(key);
    let mut places = Vec::new();
    if policy.is_written(&label) {
        places.push(policy.place(&label));
    }
    let expressions = selector.field("matchExpressions");
    for index in 0.. {
        let path = expressions.index(index);
        if !policy.is_written(&path) {
            return places;
        }
        let place = policy.place(&path.field("key"));
        if place.source.slice(place.span).trim_matches(['"', '\'']) == key {
            places.push(place);
        }
    }
    places
}
