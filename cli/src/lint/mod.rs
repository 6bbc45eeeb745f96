//! Lint: rules look at the input and report findings.
//!
//! Each rule is one file in `rules`, whose doc comment is the user's page; [`RULES`] is the one table of codes.

mod finding;
mod input;
mod rules;

pub use finding::{Certainty, Finding, Findings, Severity};
pub use input::{Input, LintPolicy};
pub use rules::RULES;

use crate::manifest::Manifests;

/// A lint rule.
#[derive(Debug)]
pub struct Rule {
    /// Its code, stable once released.
    pub code: &'static str,
    /// Its name in words.
    pub name: &'static str,
    /// How bad its findings are, unless a finding says otherwise.
    pub severity: Severity,
    /// How sure its findings are.
    pub certainty: Certainty,
    /// Looks at the input and reports.
    pub check: fn(&Input<'_>, &mut Findings),
}

/// Which rules run.
#[derive(Debug, Default, Clone)]
pub struct Selection {
    /// Codes or their prefixes; empty means all.
    pub select: Vec<String>,
    /// Codes or their prefixes that do not run.
    pub ignore: Vec<String>,
}

impl Selection {
    fn takes(&self, rule: &Rule) -> bool {
        let named = |codes: &[String]| {
            codes
                .iter()
                .any(|code| rule.code.starts_with(code.as_str()))
        };
        (self.select.is_empty() || named(&self.select)) && !named(&self.ignore)
    }
}

/// The given codes and prefixes that name no rule.
pub fn unknown_codes<'c>(codes: impl IntoIterator<Item = &'c String>) -> Vec<&'c str> {
    let is_known =
        |code: &str| !code.is_empty() && RULES.iter().any(|rule| rule.code.starts_with(code));
    codes
        .into_iter()
        .map(String::as_str)
        .filter(|code| !is_known(code))
        .collect()
}

/// Runs the selected rules. Findings come sorted by file, place and code.
pub fn lint(manifests: &Manifests, selection: &Selection) -> Vec<Finding> {
    let input = Input::new(manifests);
    let mut findings = Findings::default();
    for rule in RULES.iter().filter(|rule| selection.takes(rule)) {
        (rule.check)(&input, &mut findings);
    }
    findings.sorted()
}
