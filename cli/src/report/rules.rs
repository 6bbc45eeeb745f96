//! The rules of `nopal lint`: a table of all, and the page of one.

use serde_json::json;

use crate::args::Format;
use crate::lint::Rule;

/// The page of a rule.
pub fn page(rule: &Rule, format: Format) -> String {
    match format {
        Format::Text => markdown(rule),
        Format::Json => super::json(&as_json(rule)),
    }
}

/// A rule's page in Markdown, with its title.
pub fn markdown(rule: &Rule) -> String {
    let (severity, certainty) = (rule.severity.word(), rule.certainty.word());
    format!(
        "# {} {}\n\nSeverity: {severity}. Certainty: {certainty}.\n\n{}",
        rule.code,
        rule.name,
        rule.page()
    )
}

/// The table of all rules.
pub fn table(rules: &[Rule], format: Format) -> String {
    match format {
        Format::Json => {
            let rules: Vec<_> = rules.iter().map(as_json).collect();
            super::json(&json!({ "rules": rules }))
        }
        Format::Text => {
            let names = rules.iter().map(|rule| rule.name.len());
            let width = names.max().unwrap_or_default();
            let rows = rules.iter().map(|rule| {
                let (severity, certainty) = (rule.severity.word(), rule.certainty.word());
                format!(
                    "{}  {:width$}  {severity:7}  {certainty}\n",
                    rule.code, rule.name
                )
            });
            rows.collect()
        }
    }
}

fn as_json(rule: &Rule) -> serde_json::Value {
    json!({
        "code": rule.code,
        "name": rule.name,
        "severity": rule.severity.word(),
        "certainty": rule.certainty.word(),
        "summary": rule.summary(),
        "page": rule.page(),
    })
}
