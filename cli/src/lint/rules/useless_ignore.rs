//! NP901: an ignore that ignores nothing.

use crate::lint::{Certainty, Findings, Input, Rule, Severity};

rule! {
    /// ## What it finds
    /// `# nopal: ignore` comments and `nopal.dev/ignore` annotations that name a rule which finds nothing there, or no rule
    /// at all.
    ///
    /// ## Why it matters
    /// It would hide the next finding of that rule, which nobody has looked at.
    ///
    /// ## Example
    /// ```yaml
    /// # nopal: ignore NP106 (it allows nothing of the kind)
    /// ingress: []
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// ingress: []
    /// ```
    ///
    /// ## How to ignore
    /// A comment counts for the findings that begin in its own line or, when it stands alone, in the next one:
    /// `# nopal: ignore NP108, NP110 (agreed with the platform team)`. The annotation
    /// `nopal.dev/ignore: NP110,NP119` counts for the whole object.
    pub(super) const RULE: Rule = Rule {
        code: "NP901",
        name: "useless-ignore",
        severity: Severity::Warning,
        certainty: Certainty::Proven,
        check,
    };
}

/// What is useless shows only when every other rule has run, so [`crate::lint::lint`] reports it at the end.
fn check(_: &Input<'_>, _: &mut Findings) {}
