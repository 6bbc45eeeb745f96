//! `nopal test` for CI servers, and the rules that no test came to.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

const SHOP: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}]
  - from: [{podSelector: {matchLabels: {app: backup}}}]
    ports: [{port: 5432}]
";

const TESTS: &str = "\
apiVersion: nopal.dev/v1alpha1
kind: ConnectivityTest
metadata: {name: shop}
tests:
- {name: 'web <reaches> db #1', from: {pod: shop/web}, to: {pod: shop/db}, port: 5432, expect: allow}
- {name: web reads metrics, from: {pod: shop/web}, to: {pod: shop/db}, port: 9100, expect: allow}
- {name: no such end, from: {pod: shop/none}, to: {pod: shop/db}, port: 5432, expect: deny}
";

fn nopal(format: &str) -> (i32, String) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("shop.yaml"), SHOP).unwrap();
    fs::write(folder.path().join("tests.yaml"), TESTS).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
    command.args(["test", "shop.yaml", "--tests", "tests.yaml", "--coverage"]);
    let command = command
        .args(["--format", format])
        .current_dir(folder.path());
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}

#[test]
fn junit_tells_failures_and_errors_apart() {
    let (code, text) = nopal("junit");
    assert_eq!(
        text,
        "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites name=\"nopal test\" tests=\"3\" failures=\"1\" errors=\"1\">
  <testsuite name=\"connectivity\" tests=\"3\" failures=\"1\" errors=\"1\" skipped=\"0\">
    <testcase name=\"web &lt;reaches&gt; db #1: shop/web -&gt; shop/db 5432/TCP IPv4\" classname=\"connectivity\" time=\"0\"/>
    <testcase name=\"web reads metrics: shop/web -&gt; shop/db 9100/TCP IPv4\" classname=\"connectivity\" time=\"0\">
      <failure message=\"expected allow, is deny\" type=\"connectivity\">shop/db isolates ingress</failure>
    </testcase>
    <testcase name=\"no such end\" classname=\"connectivity\" time=\"0\">
      <error message=\"from: shop/none is not in the input\" type=\"unusable\"/>
    </testcase>
    <system-out>1 of 3 rules touched
not touched: shop/db ingress[1] (shop.yaml:18)
not touched: shop/db egress (denies all) (shop.yaml:11)</system-out>
  </testsuite>
</testsuites>
"
    );
    assert_eq!(code, 2);
}

#[test]
fn tap_counts_every_test_and_escapes_directives() {
    let (code, text) = nopal("tap");
    assert_eq!(
        text,
        "\
TAP version 14
1..3
ok 1 - web <reaches> db \\#1: shop/web -> shop/db 5432/TCP IPv4
not ok 2 - web reads metrics: shop/web -> shop/db 9100/TCP IPv4
  ---
  {\"actual\":\"deny\",\"because\":[\"shop/db isolates ingress\"],\"expected\":\"allow\"}
  ...
not ok 3 - no such end
  ---
  {\"message\":\"from: shop/none is not in the input\"}
  ...
# not touched: shop/db ingress[1] (shop.yaml:18)
# not touched: shop/db egress (denies all) (shop.yaml:11)
# 1 of 3 rules touched
"
    );
    assert_eq!(code, 2);
}

#[test]
fn coverage_names_the_rules_that_decided_nothing() {
    let (_, text) = nopal("text");
    let told = "\
Rules that no test touched:
  shop/db ingress[1] (shop.yaml:18)
  shop/db egress (denies all) (shop.yaml:11)
1 of 3 rules touched
";
    assert!(text.ends_with(told), "{text}");
    let (_, text) = nopal("json");
    let results: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        results["coverage"],
        json!({"rules": 3, "touched": 1, "untouched": [
            {"policy": "shop/db", "direction": "ingress", "rule": 1, "file": "shop.yaml", "line": 18},
            {"policy": "shop/db", "direction": "egress", "rule": null, "file": "shop.yaml", "line": 11},
        ]})
    );
}
