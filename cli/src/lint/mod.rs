//! Lint: rules look at the input and report findings.
//!
//! Each rule is one file in `rules`, whose doc comment is the user's page; [`RULES`] is the one table of codes.

mod closed;
mod dependency;
mod dns;
mod finding;
mod ignores;
mod input;
mod meaning;
pub(crate) mod misspelt;
mod profile;
mod reach;
mod redundancy;
mod region;
mod repair;
mod rules;
mod services;
mod world;
mod written;

use std::collections::BTreeSet;

pub use finding::{Certainty, Finding, Findings, Severity};
pub use input::{Input, LintPolicy};
pub use profile::Profile;
pub use reach::{Class, ClassId, Grant, Reach};
pub use repair::{Edit, Repair};
pub use rules::RULES;
pub use services::{Service, ServicePort, Services};
pub use world::World;
pub use written::WrittenRule;

use rayon::prelude::*;

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
    /// How sure its findings are, unless a finding says otherwise.
    pub certainty: Certainty,
    /// Looks at the input and reports.
    pub check: fn(&Input<'_>, &mut Findings),
    /// Its doc comment, each line with the blank that stands before its text.
    pub page: &'static str,
}

impl Rule {
    /// The page that explains it, in Markdown.
    pub fn page(&self) -> String {
        let lines = self.page.lines();
        let texts = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
        texts.flat_map(|text| [text, "\n"]).collect()
    }

    /// What it finds, in one paragraph.
    pub fn summary(&self) -> String {
        let page = self.page();
        let text = page.lines().skip_while(|line| line.starts_with('#'));
        let paragraph: Vec<&str> = text.take_while(|line| !line.is_empty()).collect();
        paragraph.join(" ")
    }
}

/// Which rules run, and on what terms.
#[derive(Debug, Default, Clone)]
pub struct Selection {
    /// Codes or their prefixes; empty means all but those that run on demand.
    pub select: Vec<String>,
    /// Codes or their prefixes that do not run.
    pub ignore: Vec<String>,
    /// Whether the input is only a part of the cluster: what is true of a closed world alone becomes information.
    pub is_open_world: bool,
    /// The network plugin, whose ways some rules judge by.
    pub profile: Option<Profile>,
}

impl Selection {
    fn takes(&self, rule: &Rule) -> bool {
        let named = |codes: &[String]| {
            codes
                .iter()
                .any(|code| rule.code.starts_with(code.as_str()))
        };
        let is_selected = if rules::ON_DEMAND.contains(&rule.code) {
            self.select.iter().any(|code| code == rule.code)
        } else {
            self.select.is_empty() || named(&self.select)
        };
        is_selected && !named(&self.ignore)
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

/// Runs the selected rules. Findings come sorted by file, place and code; what the input says to ignore is left out.
pub fn lint(manifests: &Manifests, selection: &Selection) -> Vec<Finding> {
    let (world, policies) = rayon::join(|| World::new(manifests), || input::policies(manifests));
    let input = Input::of_policies(manifests, policies, &world, selection);
    let rules: Vec<&Rule> = RULES.iter().filter(|rule| selection.takes(rule)).collect();
    let ran: BTreeSet<&str> = rules.iter().map(|rule| rule.code).collect();
    let parts = rules.into_par_iter().map(|rule| {
        let mut findings = Findings::default();
        (rule.check)(&input, &mut findings);
        findings
    });
    let findings = parts.reduce(Findings::default, Findings::joined);
    let mut findings = ignores::apply(&input, findings, &ran).sorted();
    if selection.is_open_world {
        for finding in &mut findings {
            if finding.certainty == Certainty::ClosedWorld {
                finding.severity = Severity::Info;
            }
        }
    }
    findings
}
