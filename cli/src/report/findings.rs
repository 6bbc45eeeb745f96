//! Findings in every format: as text, as one line each and as JSON here, the others in files of their own.

use serde_json::json;

use super::fingerprint::fingerprints;
use super::json_lists::json_lists;
use super::{annotations, sarif, snippet, xml};
use crate::lint::{Finding, Severity};
use crate::manifest::{InputError, Place};

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
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// Annotations of a GitHub workflow.
    Github,
    /// A GitLab code quality report.
    Gitlab,
    /// A test report.
    Junit,
    /// XML that most CI servers read.
    Checkstyle,
}

/// What there is to print.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The findings, sorted.
    pub findings: &'a [Finding],
    /// What could not be read.
    pub errors: &'a [InputError],
    /// Whether information is printed too. JSON and SARIF, whose readers choose by themselves, always hold it.
    pub shows_info: bool,
    /// The width of the terminal that it is printed on; nothing if it is no terminal.
    pub columns: Option<usize>,
}

impl<'a> Report<'a> {
    /// The findings that all formats but JSON and SARIF print.
    pub(super) fn shown(&self) -> impl Iterator<Item = &'a Finding> + use<'a> {
        let shows_info = self.shows_info;
        let all = self.findings.iter();
        all.filter(move |finding| shows_info || finding.severity != Severity::Info)
    }
}

/// The text of all findings.
pub fn render(report: &Report<'_>, format: Format, is_colored: bool) -> String {
    match format {
        Format::Full => full(report, is_colored),
        Format::Concise => report.shown().map(concise).collect(),
        Format::Json => {
            let names = fingerprints(report.findings.iter()).into_iter();
            json_lists([
                ("errors", &mut report.errors.iter().map(super::input_error)),
                ("findings", &mut names.zip(report.findings).map(as_json)),
            ])
        }
        Format::Sarif => sarif::render(report),
        Format::Github => annotations::github(report),
        Format::Gitlab => annotations::gitlab(report),
        Format::Junit => xml::junit(report),
        Format::Checkstyle => xml::checkstyle(report),
    }
}

fn full(report: &Report<'_>, is_colored: bool) -> String {
    let drawn = report.shown();
    let mut text: String = drawn
        .map(|finding| snippet::draw(finding, is_colored, report.columns) + "\n\n")
        .collect();
    let count = |severity: Severity, word: &str| {
        let shown = report.shown();
        let number = shown.filter(|finding| finding.severity == severity).count();
        (number > 0).then(|| super::counted(number, word))
    };
    let counts = [
        count(Severity::Error, "error"),
        count(Severity::Warning, "warning"),
        count(Severity::Info, "note"),
    ];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    if !counts.is_empty() {
        text += &counts.join(", ");
        text.push('\n');
    }
    text
}

fn concise(finding: &Finding) -> String {
    let position = finding.place.position();
    format!(
        "{}[{}] {}:{}:{}: {}: {}\n",
        finding.severity.word(),
        finding.code,
        finding.place.source.name(),
        position.line,
        position.column,
        subject(finding),
        finding.message,
    )
}

/// The object and the field that a finding is about; the object alone where it is about no field.
pub(super) fn subject(finding: &Finding) -> String {
    let path = finding.path.to_string();
    if path.is_empty() {
        finding.object.to_string()
    } else {
        format!("{} {path}", finding.object)
    }
}

fn as_json((fingerprint, finding): (String, &Finding)) -> serde_json::Value {
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
        "fixable": finding.repair.as_ref().map(|repair| if repair.is_safe { "safe" } else { "unsafe" }),
        "fingerprint": fingerprint,
        "related": finding.related.iter().map(|(place, label)| related(place, label)).collect::<Vec<_>>(),
    })
}

fn related(place: &Place, label: &str) -> serde_json::Value {
    let position = place.position();
    json!({
        "file": place.source.name(),
        "line": position.line,
        "column": position.column,
        "message": label,
    })
}
