//! How the offline commands tell of a policy in audit mode.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

const SHOP: &str = "\
kind: Pod
apiVersion: v1
metadata: {name: web, namespace: shop, labels: {app: web}}
status: {podIPs: [{ip: 10.0.1.10}]}
---
kind: Pod
apiVersion: v1
metadata: {name: db, namespace: shop, labels: {app: db}}
status: {podIPs: [{ip: 10.0.1.11}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: db
  namespace: shop
  annotations: {nopal.dev/mode: MODE}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}]
";

const TESTS: &str = "\
apiVersion: nopal.dev/v1alpha1
kind: ConnectivityTest
metadata: {name: shop}
tests:
- {name: admitted, from: {pod: shop/web}, to: {pod: shop/db}, port: 5432, expect: allow}
- {name: audited, from: {pod: shop/web}, to: {pod: shop/db}, port: 22, expect: allow}
- {name: every port, from: {pod: shop/web}, to: {pod: shop/db}, expect: allow}
- {name: open, from: {pod: shop/db}, to: {pod: shop/web}, expect: allow}
";

/// The exit code and standard output over the shop with the policy in this mode.
fn nopal(mode: &str, arguments: &[&str]) -> (i32, String) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("shop.yaml"), SHOP.replace("MODE", mode)).unwrap();
    fs::write(folder.path().join("tests.yaml"), TESTS).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
    let output = command
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}

#[test]
fn explain_says_what_would_deny_and_what_would_admit() {
    let flow = ["--from", "shop/web", "--to", "shop/db", "--port", "22/TCP"];
    let arguments = [&["explain", "shop.yaml"], &flow[..]].concat();
    let (_, text) = nopal("audit", &arguments);
    assert_eq!(
        text,
        "\
shop/web (10.0.1.10) -> shop/db (10.0.1.11) 22/TCP: allow
  because not isolated for egress
  because audit: would be denied by shop/db for ingress  (shop.yaml:14)
  rules that do not admit it:
    shop/db ingress[0]: port 22/TCP is not among 5432/TCP  (shop.yaml:20)
  the smallest change that admits it:
    to spec.ingress of shop/db add  (shop.yaml:14)
      - from: [{podSelector: {matchLabels: {app: web}}}]
        ports: [{port: 22, protocol: TCP}]
"
    );
    let (_, text) = nopal("Audit", &arguments);
    assert!(text.contains("22/TCP: deny"), "{text}");
}

#[test]
fn the_matrix_marks_what_is_audited() {
    let (_, text) = nopal("audit", &["matrix", "shop.yaml"]);
    let last = text.lines().last().unwrap();
    assert_eq!(last, "shop/db: ingress is audited, not enforced");
    let (_, text) = nopal("audit", &["matrix", "shop.yaml", "--format", "json"]);
    let matrix: Value = serde_json::from_str(&text).unwrap();
    let db = &matrix["endpoints"][0];
    assert_eq!(db["id"], "shop/db");
    assert_eq!(db["isolated"], json!({ "ingress": false, "egress": false }));
    assert_eq!(db["audited"], json!({ "ingress": true, "egress": false }));
    assert_eq!(matrix["endpoints"][1]["audited"], Value::Null);
    let (_, text) = nopal("enforce", &["matrix", "shop.yaml"]);
    assert!(!text.contains("audited"), "{text}");
}

#[test]
fn tests_say_what_passes_by_audit_mode_alone() {
    let arguments = ["test", "shop.yaml", "--tests", "tests.yaml"];
    let (code, text) = nopal("audit", &arguments);
    assert_eq!(code, 0);
    assert_eq!(
        text,
        "\
ok      admitted: shop/web -> shop/db 5432/TCP IPv4: allow
ok      audited: shop/web -> shop/db 22/TCP IPv4: allow, by audit mode alone
ok      every port: shop/web -> shop/db any port/TCP IPv4: allow, by audit mode alone
ok      open: shop/db -> shop/web any port/TCP IPv4: allow
4 passed, 0 failed
"
    );
    let (_, text) = nopal("audit", &[&arguments[..], &["--format", "json"]].concat());
    let results: Value = serde_json::from_str(&text).unwrap();
    let tests = results["tests"].as_array().unwrap();
    let audited: Vec<&Value> = tests.iter().map(|test| &test["audited"]).collect();
    assert_eq!(
        audited,
        [&json!(null), &json!(true), &json!(true), &json!(null)]
    );
    let (code, _) = nopal("enforce", &arguments);
    assert_eq!(code, 1);
}

#[test]
fn lint_tells_that_a_policy_is_only_audited() {
    let arguments = [
        "lint",
        "shop.yaml",
        "--select",
        "NP9",
        "--format",
        "concise",
    ];
    let (code, text) = nopal("audit", &[&arguments[..], &["--show-info"]].concat());
    assert!(text.starts_with("info[NP903] shop.yaml:16:33:"), "{text}");
    assert_eq!(code, 0);
    let (code, text) = nopal("Audit", &arguments);
    assert!(text.starts_with("error[NP902] shop.yaml:16:33:"), "{text}");
    assert_eq!(code, 1);
    assert_eq!(nopal("enforce", &arguments), (0, String::new()));
}

/// Standard output over a shop whose namespace has this mode and whose policy states none.
fn in_namespace(mode: &str, arguments: &[&str]) -> String {
    let folder = TempDir::new().unwrap();
    let namespace = format!(
        "kind: Namespace\napiVersion: v1\nmetadata: {{name: shop, annotations: {{nopal.dev/mode: {mode}}}}}\n---\n"
    );
    let shop = SHOP.replace("  annotations: {nopal.dev/mode: MODE}\n", "");
    fs::write(folder.path().join("shop.yaml"), namespace + &shop).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
    let command = command.args(arguments).current_dir(folder.path());
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn what_comes_from_the_namespace_is_said_to() {
    let arguments = ["explain", "shop.yaml", "--from", "shop/web"];
    let arguments = [&arguments[..], &["--to", "shop/db", "--port", "22/TCP"]].concat();
    let text = in_namespace("audit", &arguments);
    let reason = "because audit: would be denied by shop/db for ingress, as namespace shop is in audit mode  (shop.yaml:18)";
    assert!(text.contains(reason), "{text}");
    let text = in_namespace("audit", &[&arguments[..], &["--format", "json"]].concat());
    let json: Value = serde_json::from_str(&text).unwrap();
    let namespaces = &json["families"][0]["auditingNamespaces"];
    assert_eq!(namespaces, &json!([null, "shop"]));

    let lint = ["lint", "shop.yaml", "--select", "NP9", "--show-info"];
    let lint = [&lint[..], &["--format", "concise"]].concat();
    let text = in_namespace("audit", &lint);
    assert!(text.starts_with("info[NP903] shop.yaml:18:9:"), "{text}");
    assert!(text.contains("because its namespace shop is"), "{text}");
    let text = in_namespace("Audit", &lint);
    assert!(text.starts_with("error[NP902] shop.yaml:1:1:"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(in_namespace("enforce", &lint), "");
}
