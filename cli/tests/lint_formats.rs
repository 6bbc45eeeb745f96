//! The formats of `nopal lint` that CI servers read: structure, escaping, and fingerprints that stay.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

const POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress:
  - from:
    - podSelector: {matchLabels: {app: web}}
  - ports:
    - {port: 5432}
";

fn folder(text: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("a b")).unwrap();
    fs::write(folder.path().join("a b/db,1.yaml"), text).unwrap();
    folder
}

fn nopal(folder: &TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nopal"))
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .unwrap()
}

fn lint(text: &str, format: &str) -> String {
    let folder = folder(text);
    let output = nopal(&folder, &["lint", ".", "--format", format]);
    String::from_utf8(output.stdout).unwrap()
}

fn sarif(text: &str) -> Value {
    serde_json::from_str(&lint(text, "sarif")).unwrap()
}

/// Checks that a value is an object with at least these fields.
fn has_fields(value: &Value, fields: &[&str]) {
    for field in fields {
        assert!(
            value.get(field).is_some_and(|value| !value.is_null()),
            "{field}: {value}"
        );
    }
}

#[test]
fn sarif_has_what_the_standard_and_github_demand() {
    let log = sarif(POLICY);
    assert_eq!(log["version"], "2.1.0");
    has_fields(&log, &["$schema", "runs"]);
    let run = &log["runs"][0];
    has_fields(run, &["tool", "results", "columnKind", "invocations"]);
    let driver = &run["tool"]["driver"];
    has_fields(driver, &["name", "semanticVersion", "rules"]);
    let rules = driver["rules"].as_array().unwrap();
    let ids: BTreeSet<_> = rules
        .iter()
        .map(|rule| rule["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), rules.len());
    for rule in rules {
        has_fields(
            rule,
            &["id", "name", "shortDescription", "fullDescription", "help"],
        );
        assert!(rule["shortDescription"]["text"].as_str().unwrap().len() <= 1024);
        assert!(rule["fullDescription"]["text"].as_str().unwrap().len() <= 1024);
        has_fields(&rule["help"], &["text", "markdown"]);
        has_fields(
            &rule["properties"],
            &["precision", "problem.severity", "tags"],
        );
    }
    let results = run["results"].as_array().unwrap();
    assert!(!results.is_empty());
    for result in results {
        has_fields(
            result,
            &["ruleId", "ruleIndex", "level", "message", "locations"],
        );
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        has_fields(&result["partialFingerprints"], &["primaryLocationLineHash"]);
        let location = &result["locations"][0]["physicalLocation"];
        assert_eq!(location["artifactLocation"]["uri"], "a%20b/db%2C1.yaml");
        let region = &location["region"];
        has_fields(
            region,
            &["startLine", "startColumn", "endLine", "endColumn"],
        );
        let of = |line: &str, column: &str| (region[line].as_u64(), region[column].as_u64());
        assert!(of("startLine", "startColumn") <= of("endLine", "endColumn"));
    }
    let split = results
        .iter()
        .find(|result| result["ruleId"] == "NP109")
        .unwrap();
    let related = &split["relatedLocations"][0];
    assert_eq!(related["physicalLocation"]["region"]["startLine"], 8);
    has_fields(related, &["id", "message"]);
}

#[test]
fn sarif_tells_what_could_not_be_read() {
    let run = &sarif("a: [")["runs"][0];
    assert_eq!(run["invocations"][0]["executionSuccessful"], false);
    let notification = &run["invocations"][0]["toolExecutionNotifications"][0];
    has_fields(notification, &["level", "message", "locations"]);
}

fn fingerprints(text: &str) -> BTreeSet<String> {
    let log = sarif(text);
    let results = log["runs"][0]["results"].as_array().unwrap();
    let prints = results
        .iter()
        .map(|result| result["partialFingerprints"]["primaryLocationLineHash"].to_string());
    let prints: BTreeSet<String> = prints.collect();
    assert_eq!(prints.len(), results.len());
    prints
}

#[test]
fn fingerprints_stay_when_lines_and_rules_move() {
    let before = fingerprints(POLICY);
    let lower = format!("# a comment\n\n---\n{POLICY}");
    assert_eq!(fingerprints(&lower), before);
    let after_another = POLICY.replace(
        "  - from:\n",
        "  - from: [{podSelector: {matchLabels: {app: api}}}]\n    ports: [{protocol: TCP, port: 1}]\n  - from:\n",
    );
    assert_eq!(fingerprints(&after_another), before);
    let of_another = POLICY.replace("name: db", "name: cache");
    assert!(fingerprints(&of_another).is_disjoint(&before));
}

#[test]
fn github_gets_escaped_workflow_commands() {
    let text = lint(POLICY, "github");
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with("::error file=a b/db%2C1.yaml,line=10,col=5,title=NP109 split-rule::NetworkPolicy shop/db: two rules, not one"),
        "{first}"
    );
    assert!(first.contains("%0AFix: "), "{first}");
    assert!(text.lines().all(|line| line.starts_with("::")));
    assert!(lint("a: [", "github").starts_with("::error file=a b/db%2C1.yaml,line=1"));
}

#[test]
fn gitlab_gets_issues_with_distinct_fingerprints() {
    let issues: Value = serde_json::from_str(&lint(POLICY, "gitlab")).unwrap();
    let issues = issues.as_array().unwrap();
    let mut seen = BTreeSet::new();
    for issue in issues {
        has_fields(
            issue,
            &[
                "check_name",
                "description",
                "fingerprint",
                "severity",
                "location",
            ],
        );
        assert!(
            ["info", "minor", "major", "critical", "blocker"]
                .contains(&issue["severity"].as_str().unwrap())
        );
        assert_eq!(issue["location"]["path"], "a b/db,1.yaml");
        has_fields(&issue["location"]["lines"], &["begin"]);
        assert!(seen.insert(issue["fingerprint"].to_string()));
    }
    assert_eq!(issues[0]["check_name"], "NP109");
}

#[test]
fn junit_has_a_failed_test_for_each_finding_and_a_passed_one_for_none() {
    let text = lint(POLICY, "junit");
    assert!(
        text.contains("<testsuites name=\"nopal lint\" tests=\"2\" failures=\"2\" errors=\"0\">"),
        "{text}"
    );
    assert_eq!(text.matches("<failure ").count(), 2);
    assert_eq!(
        text.matches("<testcase ").count(),
        text.matches("</testcase>").count()
    );
    let none = lint(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n",
        "junit",
    );
    assert!(none.contains("tests=\"1\" failures=\"0\""), "{none}");
}

#[test]
fn checkstyle_names_each_file_once_and_escapes() {
    let text = lint(&POLICY.replace("port: 5432", "port: \"<&>\""), "checkstyle");
    assert_eq!(text.matches("<file ").count(), 1);
    assert!(text.contains("&lt;&amp;&gt;"), "{text}");
    assert!(text.contains("source=\"nopal.NP009\""), "{text}");
    assert!(text.ends_with("</checkstyle>\n"));
}

#[test]
fn several_files_are_written_in_one_run() {
    let folder = folder(POLICY);
    let output = nopal(
        &folder,
        &[
            "lint",
            ".",
            "--format",
            "concise",
            "--output-file",
            "sarif=out.sarif",
            "--output-file",
            "junit=out.xml",
        ],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .starts_with("error[NP109]")
    );
    let written = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(written("out.sarif").contains("\"2.1.0\""));
    assert!(written("out.xml").starts_with("<?xml"));
    let bad = |value: &str| {
        nopal(&folder, &["lint", "a b", "--output-file", value])
            .status
            .code()
    };
    assert_eq!(bad("sarif"), Some(2));
    assert_eq!(bad("word=a"), Some(2));
    assert_eq!(bad("json=no/such/folder.json"), Some(2));
}

#[test]
fn information_is_printed_on_demand_and_costs_no_exit_code() {
    let text = POLICY.replace("  - ports:\n", "    ports:\n");
    let folder = folder(&text);
    let plain = nopal(&folder, &["lint", "a b", "--format", "concise"]);
    assert_eq!((plain.status.code(), plain.stdout.len()), (Some(0), 0));
    let shown = nopal(
        &folder,
        &["lint", "a b", "--format", "concise", "--show-info"],
    );
    assert_eq!(shown.status.code(), Some(0));
    assert!(
        String::from_utf8(shown.stdout)
            .unwrap()
            .contains("info[NP112]")
    );
    let json = nopal(&folder, &["lint", "a b", "--format", "json"]);
    assert!(String::from_utf8(json.stdout).unwrap().contains("NP112"));
}

#[test]
fn findings_are_chosen_by_their_certainty() {
    let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: db, namespace: shop, labels: {app: db}}\n";
    let folder = folder(&format!("{POLICY}{pod}"));
    let found = |certainty: &str| {
        let arguments = [
            "lint",
            "a b",
            "--format",
            "concise",
            "--certainty",
            certainty,
        ];
        let text = String::from_utf8(nopal(&folder, &arguments).stdout).unwrap();
        (text.contains("NP109"), text.contains("NP202"))
    };
    assert_eq!(found("proven"), (true, false));
    assert_eq!(found("closed-world"), (true, true));
    assert_eq!(found("all"), (true, true));
}

#[test]
fn a_rule_is_explained_by_code_or_name_and_all_are_listed() {
    let folder = folder(POLICY);
    let text = |arguments: &[&str]| String::from_utf8(nopal(&folder, arguments).stdout).unwrap();
    assert!(text(&["rule", "NP108"]).starts_with("# NP108 split-peer\n"));
    assert_eq!(text(&["rule", "NP108"]), text(&["rule", "split-peer"]));
    let page: Value = serde_json::from_str(&text(&["rule", "np108", "--format", "json"])).unwrap();
    has_fields(
        &page,
        &["code", "name", "severity", "certainty", "summary", "page"],
    );
    assert!(
        text(&["rules"])
            .lines()
            .any(|line| line.starts_with("NP018  legacy-cidr"))
    );
    let all: Value = serde_json::from_str(&text(&["rules", "--format", "json"])).unwrap();
    assert!(all["rules"].as_array().unwrap().len() > 50);
    assert_eq!(nopal(&folder, &["rule", "NP000"]).status.code(), Some(2));
}

#[test]
fn findings_are_drawn_listed_and_given_in_json() {
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec:\n  ingress:\n  - from:\n    - ipBlock: {cidr: 10.0.0.7/24}\n";
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a.yaml"), policy).unwrap();
    let run = |arguments: &[&str]| {
        let output = nopal(&folder, arguments);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, text, _) = run(&["lint", "a.yaml"]);
    assert_eq!(code, 1);
    assert_eq!(
        text,
        "\
error[NP018]: \"10.0.0.7/24\" is refused by today's API server and read as 10.0.0.0/24
 --> a.yaml:7:23
  |
7 |     - ipBlock: {cidr: 10.0.0.7/24}
  |                       ^^^^^^^^^^^
  |
  = note: NetworkPolicy default/a spec.ingress[0].from[0].ipBlock.cidr (proven)
  = help: write 10.0.0.0/24

warning[NP116]: 10.0.0.7/24 is all of 10.0.0.0/24, not 10.0.0.7 alone
 --> a.yaml:7:23
  |
7 |     - ipBlock: {cidr: 10.0.0.7/24}
  |                       ^^^^^^^^^^^
  |
  = note: NetworkPolicy default/a spec.ingress[0].from[0].ipBlock.cidr (proven)
  = help: write 10.0.0.0/24 for the network, or 10.0.0.7/32 for the address

1 error, 1 warning
"
    );
    assert_eq!(
        serde_json::from_str::<Value>(
            &run(&["lint", "a.yaml", "--format", "json", "--select", "NP018"]).1
        )
        .unwrap(),
        json!({
            "errors": [],
            "findings": [{
                "code": "NP018", "name": "legacy-cidr", "severity": "error", "certainty": "proven",
                "file": "a.yaml", "line": 7, "column": 23, "object": "NetworkPolicy default/a",
                "path": "spec.ingress[0].from[0].ipBlock.cidr",
                "message": "\"10.0.0.7/24\" is refused by today's API server and read as 10.0.0.0/24",
                "fix": "write 10.0.0.0/24", "fixable": "unsafe", "related": [],
                "fingerprint": "5fa8e49e376bfda4:1",
            }],
        })
    );
    assert_eq!(run(&["lint", "a.yaml", "--exit-zero"]).0, 0);
    assert_eq!(run(&["lint", "a.yaml", "--ignore", "NP01,NP11"]).0, 0);
    assert_eq!(run(&["lint", "a.yaml", "--select", "NP007,NP018"]).0, 1);
    let (code, _, errors) = run(&["lint", "a.yaml", "--select", "NP7"]);
    assert_eq!(
        (code, errors.as_str()),
        (2, "error: no rule is named NP7\n")
    );
    assert!(
        run(&["lint", "a.yaml", "--color", "always"])
            .1
            .contains('\u{1b}')
    );
}
