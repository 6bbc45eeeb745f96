//! Test results as text and as JSON.

use std::fmt::Write;

use policy_core::Verdict;
use serde_json::{Value, json};

use crate::connectivity::{BadTest, Outcome};

/// The results for people.
pub fn text(outcomes: &[Outcome]) -> String {
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
    text
}

/// The results for programs.
pub fn json(outcomes: &[Outcome], errors: &[BadTest]) -> Value {
    let (passed, failed) = counts(outcomes);
    let mut value = json!({
        "passed": passed,
        "failed": failed,
        "tests": outcomes.iter().map(test).collect::<Vec<_>>(),
    });
    if !errors.is_empty() {
        value["errors"] = errors.iter().map(ToString::to_string).collect();
    }
    value
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
