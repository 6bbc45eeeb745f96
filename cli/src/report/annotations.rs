//! Findings as GitHub's workflow commands and as GitLab's code quality report.

use serde_json::{Value, json};

use super::findings::Report;
use super::fingerprint::fingerprints;
use super::relative;
use crate::lint::{Finding, Severity};
use crate::manifest::InputError;

/// One workflow command for each finding: GitHub shows them beside the lines of a pull request.
pub(super) fn github(report: &Report<'_>) -> String {
    let errors = report.errors.iter().map(|error| {
        let (line, column) = error
            .position
            .map_or((1, 1), |position| (position.line, position.column));
        let file = property(&relative(&error.file));
        format!(
            "::error file={file},line={line},col={column},title=nopal::{}\n",
            data(&error.message)
        )
    });
    errors.chain(report.shown().map(command)).collect()
}

fn command(finding: &Finding) -> String {
    let kind = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "notice",
    };
    let position = finding.place.position();
    let fix = finding.fix.as_ref().map(|fix| format!("\nFix: {fix}"));
    let message = format!(
        "{}: {}{}",
        finding.object,
        finding.message,
        fix.unwrap_or_default()
    );
    format!(
        "::{kind} file={},line={},col={},title={}::{}\n",
        property(&relative(finding.place.source.name())),
        position.line,
        position.column,
        property(&format!("{} {}", finding.code, finding.name)),
        data(&message)
    )
}

/// Escapes the message of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// A code quality report: GitLab compares those of two commits by their fingerprints.
pub(super) fn gitlab(report: &Report<'_>) -> String {
    let names = fingerprints(report.shown());
    let found = report.shown().zip(names).map(|(finding, fingerprint)| {
        let severity = match finding.severity {
            Severity::Error => "critical",
            Severity::Warning => "major",
            Severity::Info => "info",
        };
        let description = format!("{}: {}", finding.object, finding.message);
        let (file, line) = (finding.place.source.name(), finding.place.position().line);
        issue(
            finding.code,
            severity,
            &description,
            &fingerprint,
            (file, line),
        )
    });
    let errors = report.errors.iter().map(|error: &InputError| {
        let line = error.position.map_or(1, |position| position.line);
        let text = error.to_string();
        issue(
            "unreadable",
            "blocker",
            &error.message,
            &text,
            (&error.file, line),
        )
    });
    super::json(&Value::Array(errors.chain(found).collect()))
}

fn issue(
    check: &str,
    severity: &str,
    description: &str,
    fingerprint: &str,
    (file, line): (&str, usize),
) -> Value {
    json!({
        "check_name": check,
        "description": description,
        "fingerprint": fingerprint,
        "severity": severity,
        "location": {"path": relative(file), "lines": {"begin": line}},
    })
}
