//! NP016: a policy that is defined twice.

use std::collections::BTreeMap;

use policy_core::problem::{FieldPath, ObjectRef};

use crate::lint::{Certainty, Finding, Findings, Input, LintPolicy, Rule, Severity};
use crate::manifest::Part;

rule! {
    /// ## What it finds
    /// Two policies with the same namespace and name in the input.
    ///
    /// ## Why it matters
    /// They are one object to the API server: whichever is applied last replaces the other.
    ///
    /// ## Example
    /// ```yaml
    /// kind: NetworkPolicy
    /// metadata: {namespace: web, name: allow}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {namespace: web, name: allow}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// kind: NetworkPolicy
    /// metadata: {namespace: web, name: allow-frontend}
    /// ---
    /// kind: NetworkPolicy
    /// metadata: {namespace: web, name: allow-metrics}
    /// ```
    pub(super) const RULE: Rule = Rule {
        code: "NP016",
        name: "defined-twice",
        severity: Severity::Error,
        certainty: Certainty::Proven,
        check,
    };
}

fn check(input: &Input<'_>, findings: &mut Findings) {
    let path = FieldPath::root().field("metadata").field("name");
    let mut seen: BTreeMap<&ObjectRef, &LintPolicy<'_>> = BTreeMap::new();
    for policy in &input.policies {
        let object = &policy.object.reference;
        if object.name.is_empty() {
            continue;
        }
        let Some(earlier) = seen.insert(object, policy) else {
            continue;
        };
        let earlier = earlier.policy.fields.place(&path, Part::Value);
        let (file, line) = (earlier.source.name(), earlier.position().line);
        let message = format!("defined twice: this definition replaces that of {file}:{line}");
        findings.add(
            Finding::new(&RULE, policy, path.clone(), message)
                .with_fix("give them different names, or remove one")
                .with_related(earlier, "replaced"),
        );
    }
}
