//! Findings as SARIF 2.1.0, within what GitHub's code scanning takes.

use std::path::Path;

use serde_json::{Value, json};

use super::findings::Report;
use super::fingerprint::fingerprints;
use crate::lint::{Certainty, Finding, RULES, Rule, Severity};
use crate::manifest::{InputError, Place};

/// GitHub refuses a run with more results.
const MOST_RESULTS: usize = 25_000;

/// And one with a result at more places.
const MOST_LOCATIONS: usize = 1_000;

/// The report as one SARIF log with one run.
pub(super) fn render(report: &Report<'_>) -> String {
    let names = fingerprints(report.findings.iter());
    let mut findings: Vec<(&Finding, String)> = report.findings.iter().zip(names).collect();
    if findings.len() > MOST_RESULTS {
        findings.sort_by_key(|(finding, _)| finding.severity);
        findings.truncate(MOST_RESULTS);
    }
    let results = findings.iter().map(|(finding, name)| result(finding, name));
    super::json(&json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "nopal",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": RULES.iter().map(rule).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": report.errors.is_empty(),
                "toolExecutionNotifications":
                    report.errors.iter().map(notification).collect::<Vec<_>>(),
            }],
            "results": results.collect::<Vec<_>>(),
        }],
    }))
}

fn rule(rule: &Rule) -> Value {
    let summary = rule.summary();
    json!({
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.name.replace('-', " ")},
        "fullDescription": {"text": summary},
        "help": {"text": rule.page(), "markdown": rule.page()},
        "defaultConfiguration": {"level": level(rule.severity)},
        "properties": {
            "tags": ["kubernetes", "network-policy"],
            "precision": precision(rule.certainty),
            "problem.severity": match rule.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "recommendation",
            },
        },
    })
}

fn result(finding: &Finding, fingerprint: &str) -> Value {
    let text = match &finding.fix {
        Some(fix) => format!("{}. Fix: {fix}", finding.message),
        None => finding.message.clone(),
    };
    let related = finding.related.iter().take(MOST_LOCATIONS - 1);
    let related = related.zip(1..).map(|((place, label), id)| {
        json!({
            "id": id,
            "physicalLocation": location(place),
            "message": {"text": label},
        })
    });
    json!({
        "ruleId": finding.code,
        "ruleIndex": RULES.iter().position(|rule| rule.code == finding.code),
        "level": level(finding.severity),
        "message": {"text": text},
        "locations": [{
            "physicalLocation": location(&finding.place),
            "logicalLocations": [{
                "fullyQualifiedName": super::findings::subject(finding),
            }],
        }],
        "relatedLocations": related.collect::<Vec<_>>(),
        // The only fingerprint that GitHub heeds.
        "partialFingerprints": {"primaryLocationLineHash": fingerprint},
        "properties": {"certainty": finding.certainty.word()},
    })
}

fn location(place: &Place) -> Value {
    let start = place.position();
    let end = place.source.position(place.span.end.max(place.span.start));
    json!({
        "artifactLocation": {"uri": uri(place.source.name())},
        "region": {
            "startLine": start.line,
            "startColumn": start.column,
            "endLine": end.line,
            "endColumn": end.column,
        },
    })
}

fn notification(error: &InputError) -> Value {
    let region = error
        .position
        .map(|position| json!({"startLine": position.line, "startColumn": position.column}));
    let mut location = json!({"artifactLocation": {"uri": uri(&error.file)}});
    if let Some(region) = region {
        location["region"] = region;
    }
    json!({
        "level": "error",
        "message": {"text": error.to_string()},
        "locations": [{"physicalLocation": location}],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn precision(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Proven => "very-high",
        Certainty::ClosedWorld | Certainty::Profile => "high",
        Certainty::Heuristic => "medium",
    }
}

/// A file's name as a URI: relative to the current folder where it lies in it.
fn uri(name: &str) -> String {
    let path = super::relative(name);
    let encoded = encode(&path);
    if Path::new(&path).is_absolute() {
        format!("file://{encoded}")
    } else {
        encoded
    }
}

/// Percent-encodes what a URI's path must not hold.
fn encode(path: &str) -> String {
    let encoded = path.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lint::{Selection, lint};
    use crate::manifest::{Source, read_source};

    #[test]
    fn a_result_has_no_more_locations_than_github_takes() {
        let text = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a, namespace: b}\nspec: {ingress: [{}]}\n";
        let source = Arc::new(Source::new("in.yaml".to_owned(), text.to_owned()));
        let manifests = read_source(&source, "default");
        let mut findings = lint(&manifests, &Selection::default());
        let place = findings[0].place.clone();
        findings[0].related = vec![(place, "here".to_owned()); 2 * MOST_LOCATIONS];
        let written = result(&findings[0], "a");
        let count = |list: &str| written[list].as_array().map_or(0, Vec::len);
        assert_eq!(
            count("locations") + count("relatedLocations"),
            MOST_LOCATIONS
        );
    }
}
