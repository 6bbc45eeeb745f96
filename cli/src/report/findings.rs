//! Findings as text, as one line each, and as JSON.

use serde_json::json;

use super::snippet;
use crate::lint::{Finding, Severity};
use crate::manifest::InputError;

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// With the text that they speak of.
    #[default]
    Full,
    /// One line each.
    Concise,
    /// For programs.
    Json,
}

/// The text of all findings.
pub fn findings(
    findings: &[Finding],
    errors: &[InputError],
    format: Format,
    is_colored: bool,
) -> String {
    match format {
        Format::Full => full(findings, is_colored),
        Format::Concise => findings.iter().map(concise).collect(),
        Format::Json => super::json(&json!({
            "findings": findings.iter().map(as_json).collect::<Vec<_>>(),
            "errors": errors.iter().map(super::input_error).collect::<Vec<_>>(),
        })),
    }
}

fn full(findings: &[Finding], is_colored: bool) -> String {
    let mut text: String = findings
        .iter()
        .map(|finding| snippet::draw(finding, is_colored) + "\n\n")
        .collect();
    if !findings.is_empty() {
        let count = |severity: Severity, word: &str| {
            let number = findings
                .iter()
                .filter(|finding| finding.severity == severity)
                .count();
            let plural = if number == 1 { "" } else { "s" };
            (number > 0).then(|| format!("{number} {word}{plural}"))
        };
        let counts = [
            count(Severity::Error, "error"),
            count(Severity::Warning, "warning"),
            count(Severity::Info, "note"),
        ];
        text += &counts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        text.push('\n');
    }
    text
}

fn concise(finding: &Finding) -> String {
    let position = finding.place.position();
    format!(
        "{}[{}] {}:{}:{}: {} {}: {}\n",
        finding.severity.word(),
        finding.code,
        finding.place.source.name(),
        position.line,
        position.column,
        finding.object,
        finding.path,
        finding.message,
    )
}

fn as_json(finding: &Finding) -> serde_json::Value {
    let position = finding.place.position();
    json!({
        "code": finding.code,
        "name": finding.name,
        "severity": finding.severity.word(),
        "certainty": finding.certainty.word(),
        "file": finding.place.source.name(),
        "line": position.line,
        "column": position.column,
        "object": finding.object.to_string(),
        "path": finding.path.to_string(),
        "message": finding.message,
        "fix": finding.fix,
    })
}
