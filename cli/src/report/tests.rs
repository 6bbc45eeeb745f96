//! Test results as text, as JSON, as `JUnit` and as TAP.

use std::fmt::Write;

use policy_core::Verdict;
use serde_json::{Value, json};

use super::unread;
use super::xml::{HEADER, escape};
use crate::connectivity::{BadTest, Outcome};
use crate::coverage::{Coverage, Untouched};
use crate::manifest::InputError;

/// How test results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For CI servers.
    Junit,
    /// The Test Anything Protocol, version 14.
    Tap,
}

/// What came out.
#[derive(Debug)]
pub struct Results<'a> {
    /// The tests that ran.
    pub outcomes: &'a [Outcome],
    /// The tests that could not run.
    pub errors: &'a [BadTest],
    /// The rules that decided nothing, where that is asked for.
    pub coverage: Option<&'a Coverage>,
    /// What could not be read, and may be a policy, a pod or a test.
    pub unread: &'a [InputError],
}

/// The results in the format asked for.
pub fn render(results: &Results<'_>, format: Format) -> String {
    match format {
        Format::Text => unread::text(text(results), results.unread),
        Format::Json => unread::json(json(results), results.unread),
        Format::Junit => junit(results),
        Format::Tap => tap(results),
    }
}

fn text(results: &Results<'_>) -> String {
    let outcomes = results.outcomes;
    let mut text = String::new();
    for outcome in outcomes {
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        let _ = write!(text, "{word:<6}  {}: {}", outcome.name, question(outcome));
        if outcome.is_ok() {
            let audited = if outcome.is_audited {
                ", by audit mode alone"
            } else {
                ""
            };
            let _ = writeln!(text, ": {}{audited}", outcome.actual);
            continue;
        }
        let _ = writeln!(text, ": expected {}, is {}", outcome.expect, outcome.actual);
        for because in &outcome.because {
            let _ = writeln!(text, "        because {because}");
        }
    }
    let (passed, failed) = counts(outcomes);
    let _ = writeln!(text, "{passed} passed, {failed} failed");
    if let Some(coverage) = results.coverage {
        if !coverage.untouched.is_empty() {
            text.push_str("\nRules that no test touched:\n");
        }
        for untouched in &coverage.untouched {
            let _ = writeln!(text, "  {}", rule(untouched));
        }
        let _ = writeln!(text, "{}", touched(coverage));
    }
    text
}

fn touched(coverage: &Coverage) -> String {
    format!("{} of {} rules touched", coverage.touched(), coverage.rules)
}

/// `shop/db ingress[0] (shop.yaml:12)`
fn rule(untouched: &Untouched) -> String {
    let Untouched {
        policy,
        direction,
        rule,
        place,
    } = untouched;
    let rule = rule.map_or_else(|| " (denies all)".to_owned(), |rule| format!("[{rule}]"));
    let place = place.as_ref().map(|place| {
        let file = super::relative(place.source.name());
        format!(" ({file}:{})", place.position().line)
    });
    format!("{policy} {direction}{rule}{}", place.unwrap_or_default())
}

fn junit(results: &Results<'_>) -> String {
    let (passed, failed) = counts(results.outcomes);
    let errors = results.errors.len();
    let tests = passed + failed + errors;
    let counts = format!("tests=\"{tests}\" failures=\"{failed}\" errors=\"{errors}\"");
    let mut text = format!(
        "{HEADER}<testsuites name=\"nopal test\" {counts}>\n  <testsuite name=\"connectivity\" {counts} skipped=\"0\">\n"
    );
    for outcome in results.outcomes {
        let name = escape(&format!("{}: {}", outcome.name, question(outcome)));
        let _ = write!(
            text,
            "    <testcase name=\"{name}\" classname=\"connectivity\" time=\"0\""
        );
        if outcome.is_ok() {
            text.push_str("/>\n");
            continue;
        }
        let message = escape(&format!(
            "expected {}, is {}",
            outcome.expect, outcome.actual
        ));
        let because = escape(&outcome.because.join("\n"));
        let _ = writeln!(
            text,
            ">\n      <failure message=\"{message}\" type=\"connectivity\">{because}</failure>\n    </testcase>"
        );
    }
    for error in results.errors {
        let (name, message) = (escape(&error.name), escape(&error.message));
        let _ = writeln!(
            text,
            "    <testcase name=\"{name}\" classname=\"connectivity\" time=\"0\">\n      <error message=\"{message}\" type=\"unusable\"/>\n    </testcase>"
        );
    }
    if let Some(coverage) = results.coverage {
        let mut lines: Vec<String> = coverage.untouched.iter().map(rule).collect();
        lines.insert(0, touched(coverage));
        let lines = escape(&lines.join("\nnot touched: "));
        let _ = writeln!(text, "    <system-out>{lines}</system-out>");
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn tap(results: &Results<'_>) -> String {
    let total = results.outcomes.len() + results.errors.len();
    let mut text = format!("TAP version 14\n1..{total}\n");
    let mut number = 0;
    let mut line = |text: &mut String, is_ok: bool, description: &str| {
        number += 1;
        let word = if is_ok { "ok" } else { "not ok" };
        let _ = writeln!(text, "{word} {number} - {}", tap_escape(description));
    };
    for outcome in results.outcomes {
        let description = format!("{}: {}", outcome.name, question(outcome));
        line(&mut text, outcome.is_ok(), &description);
        if !outcome.is_ok() {
            let because = json!({
                "expected": word(outcome.expect),
                "actual": word(outcome.actual),
                "because": outcome.because,
            });
            // JSON in one line is YAML.
            let _ = writeln!(text, "  ---\n  {because}\n  ...");
        }
    }
    for error in results.errors {
        line(&mut text, false, &error.name);
        let message = json!({ "message": error.message });
        let _ = writeln!(text, "  ---\n  {message}\n  ...");
    }
    if let Some(coverage) = results.coverage {
        for untouched in &coverage.untouched {
            let _ = writeln!(text, "# not touched: {}", rule(untouched));
        }
        let _ = writeln!(text, "# {}", touched(coverage));
    }
    text
}

/// A description is one line, in which `#` begins a directive.
fn tap_escape(text: &str) -> String {
    let line = text.replace(['\n', '\r'], " ");
    line.replace('\\', "\\\\").replace('#', "\\#")
}

fn json(results: &Results<'_>) -> Value {
    let (outcomes, errors) = (results.outcomes, results.errors);
    let (passed, failed) = counts(outcomes);
    let mut value = json!({
        "passed": passed,
        "failed": failed,
        "tests": outcomes.iter().map(test).collect::<Vec<_>>(),
    });
    if !errors.is_empty() {
        value["errors"] = errors.iter().map(ToString::to_string).collect();
    }
    if let Some(coverage) = results.coverage {
        value["coverage"] = coverage_json(coverage);
    }
    value
}

fn coverage_json(coverage: &Coverage) -> Value {
    let untouched = coverage.untouched.iter().map(|untouched| {
        let place = untouched.place.as_ref();
        json!({
            "policy": untouched.policy.to_string(),
            "direction": untouched.direction.to_string(),
            "rule": untouched.rule,
            "file": place.map(|place| super::relative(place.source.name())),
            "line": place.map(|place| place.position().line),
        })
    });
    json!({
        "rules": coverage.rules,
        "touched": coverage.touched(),
        "untouched": untouched.collect::<Vec<_>>(),
    })
}

fn test(outcome: &Outcome) -> Value {
    let mut value = json!({
        "name": outcome.name,
        "from": outcome.from,
        "to": outcome.to,
        "port": outcome.port,
        "protocol": outcome.protocol.to_string(),
        "family": outcome.family.to_string(),
        "expect": word(outcome.expect),
        "actual": word(outcome.actual),
        "ok": outcome.is_ok(),
        "because": outcome.because,
    });
    if outcome.is_audited {
        value["audited"] = json!(true);
    }
    value
}

fn question(outcome: &Outcome) -> String {
    let port = outcome
        .port
        .map_or_else(|| "any port".to_owned(), |port| port.to_string());
    format!(
        "{} -> {} {port}/{} {}",
        outcome.from, outcome.to, outcome.protocol, outcome.family
    )
}

fn word(verdict: Verdict) -> String {
    verdict.to_string()
}

fn counts(outcomes: &[Outcome]) -> (usize, usize) {
    let passed = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    (passed, outcomes.len() - passed)
}
