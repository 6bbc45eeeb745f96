//! What commands print is what their schemas say: nothing that is described is missing, nothing is there that is not described.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

mod answers;
mod check;
mod node;

use check::faults;

fn nopal(arguments: &[&str], folder: &Path) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
    let output = command
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{errors}"))
}

const SHOP: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
status: {podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, labels: {app: api}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from:
    - podSelector: {matchLabels: {app: web}}
    - ipBlock: {cidr: 203.0.113.7/24}
    ports: [{protocol: TCP, port: 8080}]
  - from:
    - namespaceSelector: {matchLabels: {name: monitoring}}
  - ports:
    - {port: 9090}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: tried, namespace: shop, annotations: {nopal.dev/mode: audit}}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
";

const TESTS: &str = "\
apiVersion: nopal.dev/v1alpha1
kind: ConnectivityTest
metadata: {name: shop}
tests:
- {name: web reaches api, from: {pod: shop/web}, to: {pod: shop/api}, port: 8080, expect: allow}
- {from: {pod: shop/api}, to: {ip: 203.0.113.7}, protocol: UDP, family: IPv4, expect: allow}
";

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("shop.yaml", SHOP);
    write(
        "more.yaml",
        &SHOP.replace("8080", "8081").replace(
            "name: api, namespace: shop, labels",
            "name: api2, namespace: shop, labels",
        ),
    );
    write("broken.yaml", "kind: Pod\na: [");
    write("tests.yaml", TESTS);
    write("bad.yaml", &TESTS.replace("shop/api", "shop/nobody"));
    folder
}

/// Runs a command and compares; the answer is given back, to see that it says enough to be a test.
fn compared(name: &str, arguments: &[&str], folder: &TempDir) -> Value {
    let schema = nopal(&["schema", name], folder.path());
    let value = nopal(arguments, folder.path());
    assert_eq!(faults(&value, &schema), [""; 0], "{arguments:?}");
    value
}

fn is_filled(value: &Value, lists: &[&str]) {
    for list in lists {
        let list_found = value.pointer(list).and_then(Value::as_array);
        assert!(
            list_found.is_some_and(|list| !list.is_empty()),
            "{list}: {value:#}"
        );
    }
}

#[test]
fn lint_and_its_rules() {
    let folder = folder();
    let json = ["--format", "json"];
    let lint = compared(
        "lint",
        &[&["lint", "shop.yaml", "broken.yaml"], &json[..]].concat(),
        &folder,
    );
    is_filled(&lint, &["/findings", "/errors"]);
    let findings = lint["findings"].as_array().unwrap();
    assert!(
        findings
            .iter()
            .any(|finding| !finding["related"].as_array().unwrap().is_empty())
    );
    assert!(findings.iter().any(|finding| finding["fixable"] == "safe"));
    compared("rule", &[&["rule", "NP108"], &json[..]].concat(), &folder);
    is_filled(
        &compared("rules", &[&["rules"], &json[..]].concat(), &folder),
        &["/rules"],
    );
}

#[test]
fn questions_to_the_model() {
    let folder = folder();
    let json = ["--format", "json"];
    let matrix = compared(
        "matrix",
        &[&["matrix", "shop.yaml"], &json[..]].concat(),
        &folder,
    );
    is_filled(&matrix, &["/endpoints", "/connections"]);
    let ends = ["--from", "shop/web", "--to", "shop/api", "--port"];
    for (port, list) in [
        ("80", "candidates"),
        ("80", "remedies"),
        ("8080", "because"),
        ("icmp", "because"),
    ] {
        let asked = [&["explain", "shop.yaml"], &ends[..], &[port], &json[..]].concat();
        let explained = compared("explain", &asked, &folder);
        is_filled(&explained, &[&format!("/families/0/{list}")]);
    }
    let diff = compared(
        "diff",
        &[&["diff", "shop.yaml", "more.yaml"], &json[..]].concat(),
        &folder,
    );
    is_filled(
        &diff,
        &["/gained", "/appeared", "/vanished", "/gained/0/causes"],
    );
    let asked = ["test", "shop.yaml", "--coverage", "--tests"];
    let test = compared(
        "test",
        &[&asked[..], &["tests.yaml"], &json[..]].concat(),
        &folder,
    );
    is_filled(&test, &["/tests", "/coverage/untouched"]);
    let test = compared(
        "test",
        &[&asked[..], &["bad.yaml"], &json[..]].concat(),
        &folder,
    );
    is_filled(&test, &["/errors"]);
}

#[test]
fn tests_are_what_their_schema_takes() {
    let folder = folder();
    let schema = nopal(&["schema", "connectivity-test"], folder.path());
    let end = json!({"pod": "shop/web"});
    let test = json!({"from": end, "to": {"ip": "203.0.113.7"}, "port": 80, "protocol": "TCP", "expect": "deny"});
    let of = |tests: Value| json!({"apiVersion": "nopal.dev/v1alpha1", "kind": "ConnectivityTest", "tests": tests});
    assert_eq!(faults(&of(json!([test])), &schema), [""; 0]);
    for (field, value) in [
        ("port", json!(0)),
        ("port", json!("80")),
        ("protocol", json!("tcp")),
        ("expect", json!("drop")),
        ("to", json!({"pod": "shop/web", "ip": "203.0.113.7"})),
        ("to", json!({})),
        ("too", json!(1)),
    ] {
        let mut bad = test.clone();
        bad[field] = value;
        assert_eq!(faults(&of(json!([bad])), &schema).len(), 1, "{field}");
    }
}

#[test]
fn every_schema_is_listed_and_describes_each_field() {
    let folder = folder();
    let output = Command::new(env!("CARGO_BIN_EXE_nopal"))
        .arg("schema")
        .output()
        .unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = list
        .lines()
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(
        names.len(),
        fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema"))
            .unwrap()
            .count()
    );
    for name in names {
        let schema = nopal(&["schema", name], folder.path());
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        for field in ["title", "description", "type", "properties", "required"] {
            assert!(!schema[field].is_null(), "{name}: {field}");
        }
    }
}

/// The standard's own schema may not be copied here; `sarif-subset.json` says what it demands of what nopal writes.
#[test]
fn sarif_is_what_the_standard_and_code_scanning_take() {
    let folder = folder();
    let schema: Value = serde_json::from_str(include_str!("../sarif-subset.json")).unwrap();
    let arguments = ["lint", "shop.yaml", "broken.yaml", "--format", "sarif"];
    let log = nopal(&arguments, folder.path());
    assert_eq!(faults(&log, &schema), [""; 0]);
    is_filled(
        &log,
        &[
            "/runs/0/results",
            "/runs/0/invocations/0/toolExecutionNotifications",
        ],
    );
    // Each result points at its rule, and no region ends before it begins (3.27.6, 3.30.7).
    let run = &log["runs"][0];
    for result in run["results"].as_array().unwrap() {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(
            run["tool"]["driver"]["rules"][index]["id"],
            result["ruleId"]
        );
        let region = &result["locations"][0]["physicalLocation"]["region"];
        let at = |line: &str, column: &str| (region[line].as_u64(), region[column].as_u64());
        assert!(at("startLine", "startColumn") <= at("endLine", "endColumn"));
    }
}

/// A subset that takes everything would prove nothing.
#[test]
fn the_part_of_sarif_refuses_what_the_standard_and_github_refuse() {
    let folder = folder();
    let schema: Value = serde_json::from_str(include_str!("../sarif-subset.json")).unwrap();
    let log = nopal(&["lint", "shop.yaml", "--format", "sarif"], folder.path());
    let result = "/runs/0/results/0";
    let driver = "/runs/0/tool/driver";
    let broken = [
        ("/version".to_owned(), Value::from("2.0.0")),
        (format!("{result}/level"), Value::from("info")),
        (format!("{result}/locations"), Value::Array(Vec::new())),
        (
            format!("{result}/message"),
            serde_json::json!({"markdown": "a"}),
        ),
        (
            format!("{result}/locations/0/physicalLocation/artifactLocation/uri"),
            Value::from("a b"),
        ),
        (
            format!("{result}/locations/0/physicalLocation/artifactLocation/uri"),
            Value::from("a%2"),
        ),
        (
            format!("{result}/locations/0/physicalLocation/region/startColumn"),
            Value::from(0),
        ),
        (
            format!("{driver}/rules/0/name"),
            Value::from("a".repeat(256)),
        ),
        (
            format!("{driver}/rules/0/fullDescription/text"),
            Value::from("a".repeat(1025)),
        ),
        (
            format!("{driver}/rules/0/properties/tags"),
            serde_json::json!(["a", "a"]),
        ),
        (
            format!("{driver}/rules/1"),
            log.pointer(&format!("{driver}/rules/0")).unwrap().clone(),
        ),
    ];
    assert_eq!(faults(&log, &schema), [""; 0]);
    for (pointer, value) in broken {
        let mut log = log.clone();
        *log.pointer_mut(&pointer).unwrap() = value;
        assert_ne!(faults(&log, &schema), [""; 0], "{pointer}");
    }
}

/// GitHub refuses a file with more than 25,000 results; of more than that, the worst are told.
#[test]
fn sarif_holds_no_more_results_than_code_scanning_takes() {
    let folder = TempDir::new().unwrap();
    let peers = (0..13_000)
        .map(|peer| {
            format!(
                "    - ipBlock: {{cidr: 10.{}.{}.1/24}}\n",
                peer / 250,
                peer % 250
            )
        })
        .collect::<Vec<_>>()
        .concat();
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a, namespace: b}\nspec:\n  podSelector: {}\n  ingress:\n  - from:\n";
    fs::write(folder.path().join("many.yaml"), format!("{policy}{peers}")).unwrap();
    let lint = |format| {
        nopal(
            &[
                "lint",
                "many.yaml",
                "--format",
                format,
                "--select",
                "NP018,NP116",
            ],
            folder.path(),
        )
    };
    assert_eq!(lint("json")["findings"].as_array().unwrap().len(), 26_000);
    let log = lint("sarif");
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 25_000);
    let errors = results.iter().filter(|result| result["level"] == "error");
    assert_eq!(errors.count(), 13_000, "the worst stay");
}
