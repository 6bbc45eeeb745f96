//! Findings as XML: `JUnit` for test reports, Checkstyle for everything that reads lint.

use std::collections::BTreeMap;

use super::findings::{Report, subject};
use super::relative;
use crate::lint::{Finding, Severity};
use crate::manifest::InputError;

pub(super) const HEADER: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// What is said of one file.
#[derive(Default)]
struct OfFile<'a> {
    errors: Vec<&'a InputError>,
    findings: Vec<&'a Finding>,
}

/// By file, so that each stands once.
fn files<'a>(report: &Report<'a>) -> BTreeMap<String, OfFile<'a>> {
    let mut files: BTreeMap<String, OfFile<'_>> = BTreeMap::new();
    for error in report.errors {
        let file = files.entry(relative(&error.file)).or_default();
        file.errors.push(error);
    }
    for finding in report.shown() {
        let file = files
            .entry(relative(finding.place.source.name()))
            .or_default();
        file.findings.push(finding);
    }
    files
}

/// A suite for each file, with a failed test for each finding. Readers that check against a schema (those of Surefire and of
/// Jenkins' plugins) ask for `skipped` and `time`: nothing is skipped, and no time is told, so that the report of the same
/// input stays the same. Where nothing is found, one test passes, since an
/// empty report counts as a fault in many places.
pub(super) fn junit(report: &Report<'_>) -> String {
    let files = files(report);
    let failures = files
        .values()
        .map(|file| file.findings.len())
        .sum::<usize>();
    let tests = (failures + report.errors.len()).max(1);
    let errors = report.errors.len();
    let mut parts = vec![format!(
        "{HEADER}<testsuites name=\"nopal lint\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">\n"
    )];
    if files.is_empty() {
        parts.push(NOTHING_FOUND.to_owned());
    }
    for (name, file) in &files {
        let (failures, errors) = (file.findings.len(), file.errors.len());
        let name = escape(name);
        parts.push(format!(
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\">\n",
            failures + errors
        ));
        for error in &file.errors {
            let message = escape(&error.message);
            parts.push(format!(
                "    <testcase name=\"readable\" classname=\"{name}\" time=\"0\">\n      <error message=\"{message}\" type=\"unreadable\"/>\n    </testcase>\n"
            ));
        }
        parts.extend(file.findings.iter().map(|finding| case(&name, finding)));
        parts.push("  </testsuite>\n".to_owned());
    }
    parts.push("</testsuites>\n".to_owned());
    parts.concat()
}

const NOTHING_FOUND: &str =
    "  <testsuite name=\"nopal lint\" tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"0\">
    <testcase name=\"no findings\" classname=\"nopal\" time=\"0\"/>
  </testsuite>
";

fn case(file: &str, finding: &Finding) -> String {
    let position = finding.place.position();
    let title = escape(&format!(
        "{} {}: {}",
        finding.code,
        finding.name,
        subject(finding)
    ));
    let message = escape(&finding.message);
    let severity = finding.severity.word();
    let fix = finding.fix.as_ref().map(|fix| format!("\nfix: {fix}"));
    let body = escape(&format!(
        "{}:{}:{}: {}{}",
        finding.place.source.name(),
        position.line,
        position.column,
        finding.message,
        fix.unwrap_or_default()
    ));
    format!(
        "    <testcase name=\"{title}\" classname=\"{file}\" time=\"0\">\n      <failure message=\"{message}\" type=\"{severity}\">{body}</failure>\n    </testcase>\n"
    )
}

/// Every finding as an error of its file.
pub(super) fn checkstyle(report: &Report<'_>) -> String {
    let mut parts = vec![format!("{HEADER}<checkstyle version=\"4.3\">\n")];
    for (name, file) in files(report) {
        parts.push(format!("  <file name=\"{}\">\n", escape(&name)));
        for error in file.errors {
            let line = error.position.map_or(1, |position| position.line);
            let message = escape(&error.message);
            parts.push(format!(
                "    <error line=\"{line}\" severity=\"error\" message=\"{message}\" source=\"nopal.unreadable\"/>\n"
            ));
        }
        parts.extend(file.findings.into_iter().map(checkstyle_error));
        parts.push("  </file>\n".to_owned());
    }
    parts.push("</checkstyle>\n".to_owned());
    parts.concat()
}

fn checkstyle_error(finding: &Finding) -> String {
    let position = finding.place.position();
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    format!(
        "    <error line=\"{}\" column=\"{}\" severity=\"{severity}\" message=\"{}\" source=\"nopal.{}\"/>\n",
        position.line,
        position.column,
        escape(&format!("{}: {}", finding.object, finding.message)),
        finding.code
    )
}

/// Escapes text for attributes and elements. XML has no way to write most control characters.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\n' | '\t' => escaped.push(character),
            control if control.is_control() || control > '\u{fffd}' && control < '\u{10000}' => {
                escaped.push('\u{fffd}');
            }
            other => escaped.push(other),
        }
    }
    escaped
}
