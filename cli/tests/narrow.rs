//! `nopal lint` on a narrow terminal, which `script` makes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

const POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress:
  - from:
    - namespaceSelector: {matchLabels: {team: a}}
    - podSelector: {matchLabels: {app: web}}
    - ipBlock: {cidr: 0.0.0.0/0}
    ports: []
";

/// Makes the terminal so narrow.
const NARROW: &str = "stty rows 24 cols 40";

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("in.yaml"), POLICY).unwrap();
    folder
}

/// What the command prints on a terminal that was prepared by other commands.
fn on_terminal(before: &str, arguments: &str) -> String {
    let folder = folder();
    let nopal = env!("CARGO_BIN_EXE_nopal");
    let line = format!("{before}; '{nopal}' {arguments}");
    let mut command = Command::new("script");
    command
        .args(["-q", "-c", &line, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .env("NO_COLOR", "1")
        .env_remove("COLUMNS")
        .current_dir(folder.path());
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("NP"), "{text}");
    text.replace('\r', "")
}

/// The same in a pipe.
fn in_pipe(arguments: &[&str]) -> String {
    let folder = folder();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
    command.args(arguments).env("COLUMNS", "40");
    let output = command.current_dir(folder.path()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A text in one line.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn messages_are_no_wider_than_the_terminal() {
    let whole = in_pipe(&["lint", "in.yaml"]);
    assert!(whole.lines().any(|line| line.chars().count() > 80));
    let report: Value =
        serde_json::from_str(&in_pipe(&["lint", "in.yaml", "--format", "json"])).unwrap();
    for before in [NARROW, "stty rows 24 cols 200; export COLUMNS=40"] {
        let text = on_terminal(before, "lint in.yaml");
        let too_wide: Vec<&str> = text
            .lines()
            // A word alone may be something to copy, and stays whole.
            .filter(|line| line.chars().count() > 40 && line.split_whitespace().count() > 1)
            .collect();
        assert_eq!(too_wide, [""; 0], "{text}");
        let told = unwrapped(&text);
        for finding in report["findings"].as_array().unwrap() {
            let shown = finding["severity"] != "info";
            for said in ["message", "fix"].map(|field| finding[field].as_str().unwrap()) {
                assert!(!shown || told.contains(&unwrapped(said)), "{said}: {text}");
            }
        }
    }
}

#[test]
fn marks_stay_below_what_they_point_at() {
    let text = on_terminal(NARROW, "lint in.yaml --select NP107");
    let frame = "12 |     ports: []\n   |     ^^^^^\n";
    assert!(text.contains(frame), "{text}");
    let text = on_terminal(NARROW, "lint in.yaml --select NP108");
    let lines: Vec<&str> = text.lines().collect();
    for (field, mark) in [("namespaceSelector:", "-----"), ("podSelector:", "^^^^^")] {
        let index = lines.iter().position(|line| line.contains(field)).unwrap();
        assert_eq!(
            lines[index].find(field),
            lines[index + 1].find(mark),
            "{text}"
        );
    }
    assert!(text.contains("the first peer"), "{text}");
}

#[test]
fn a_wide_terminal_and_a_file_get_whole_lines() {
    let whole = in_pipe(&["lint", "in.yaml"]);
    assert_eq!(on_terminal("stty rows 24 cols 400", "lint in.yaml"), whole);
    let arguments = "lint in.yaml --output-file full=out.txt > /dev/null; cat out.txt";
    assert_eq!(on_terminal(NARROW, arguments), whole);
}

#[test]
fn formats_for_programs_are_never_wrapped() {
    for format in ["concise", "github"] {
        let whole = in_pipe(&["lint", "in.yaml", "--format", format]);
        let arguments = format!("lint in.yaml --format {format}");
        assert_eq!(on_terminal(NARROW, &arguments), whole);
    }
}
