//! Fixes: what they write, that comments and layout stay, and that the rule graph means afterwards what was said.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::process::{Command, Output};
use std::sync::Arc;

use nopal::fix::fix;
use nopal::inventory::{Inventory, MadeUp};
use nopal::lint::{Finding, Selection, lint};
use nopal::manifest::{Manifests, Source, read_source};
use policy_core::RuleGraph;
use tempfile::TempDir;

const POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  # Who may come.
  podSelector: {matchLabels: {app: db}}   # the database
  ingress:
  - from: [{ipBlock: {cidr: 010.1.2.0/24}}]
    ports:
    - port: 5432   # no protocol
    - {port: 5433}
";

const PODS: &str = "\
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db, live: \"true\"}}
status: {podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
status: {podIPs: [{ip: 10.1.2.3}]}
";

fn manifests(text: &str) -> Manifests {
    let source = Arc::new(Source::new("in.yaml".to_owned(), text.to_owned()));
    read_source(&source, "default")
}

fn findings(text: &str) -> Vec<Finding> {
    lint(&manifests(text), &Selection::default())
}

fn fixed(text: &str, takes_unsafe: bool) -> String {
    let mut text = text.to_owned();
    // Of repairs at one place each run makes one.
    for _ in 0..5 {
        match fix(&findings(&text), takes_unsafe).pop() {
            Some(fixed) => text = fixed.text,
            None => return text,
        }
    }
    panic!("fixes without end:\n{text}");
}

/// What the policies mean, for the pods that are there.
fn graph(text: &str) -> String {
    let text = format!("{text}{PODS}");
    let manifests = manifests(&text);
    let inventory = Inventory::new(&manifests, MadeUp::Addresses);
    RuleGraph::compile(&inventory.cluster)
        .minimize()
        .to_string()
}

fn codes(text: &str) -> Vec<&'static str> {
    findings(text).iter().map(|finding| finding.code).collect()
}

#[test]
fn safe_fixes_keep_comments_layout_and_meaning() {
    let after = fixed(POLICY, false);
    assert_eq!(
        after,
        "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  # Who may come.
  policyTypes: [Ingress]
  podSelector: {matchLabels: {app: db}}   # the database
  ingress:
  - from: [{ipBlock: {cidr: 010.1.2.0/24}}]
    ports:
    - protocol: TCP
      port: 5432   # no protocol
    - {protocol: TCP, port: 5433}
"
    );
    assert_eq!(graph(&after), graph(POLICY));
    for code in ["NP103", "NP112"] {
        assert!(codes(POLICY).contains(&code));
        assert!(!codes(&after).contains(&code));
    }
}

/// A policy with one thing that a fix mends, the fix, and what the policy means then.
fn mends(spec: &str, before: &str, after: &str, is_safe: bool) {
    let policy = |spec: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: db, namespace: shop}}\nspec:\n  podSelector: {{matchLabels: {{app: db}}}}\n  policyTypes: [Ingress]\n{spec}"
        )
    };
    let text = policy(spec);
    let wanted = policy(&spec.replace(before, after));
    assert_eq!(fixed(&text, true), wanted);
    if is_safe {
        assert_eq!(fixed(&text, false), wanted);
    } else {
        assert_eq!(fixed(&text, false), text);
    }
}

#[test]
fn what_the_api_server_refuses_becomes_what_is_plainly_written() {
    let spec = "  ingress:\n  - ports: [{protocol: tcp, port: 80}]\n";
    mends(spec, "tcp", "TCP", true);
    let quoted = "  ingress:\n  - ports: [{protocol: \"tcp\", port: 80}]\n";
    mends(quoted, "tcp", "TCP", true);
    let truth = "  ingress:\n  - from: [{podSelector: {matchLabels: {live: true}}}]\n";
    mends(truth, "true", "\"true\"", true);
    let mapped = "  ingress:\n  - from: [{ipBlock: {cidr: \"::ffff:10.1.2.0/120\"}}]\n";
    mends(mapped, "::ffff:10.1.2.0/120", "10.1.2.0/24", true);
}

#[test]
fn a_safe_fix_of_a_refused_element_means_what_was_said() {
    let policy = |ports: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: db, namespace: shop}}\nspec:\n  podSelector: {{matchLabels: {{app: db}}}}\n  policyTypes: [Ingress]\n  ingress:\n  - ports: {ports}\n"
        )
    };
    let written = policy("[{protocol: tcp, port: 80}]");
    let meant = policy("[{protocol: TCP, port: 80}]");
    assert_ne!(graph(&written), graph(&meant));
    assert_eq!(graph(&fixed(&written, false)), graph(&meant));
}

#[test]
fn guesses_are_made_on_demand_alone() {
    let split = "  ingress:\n  - from:\n    - namespaceSelector: {matchLabels: {team: ops}}\n    - podSelector: {matchLabels: {app: prometheus}}  # both\n";
    mends(split, "    - podSelector", "      podSelector", false);
    let named =
        "  ingress:\n  - from:\n    - namespaceSelector: {matchLabels: {name: kube-system}}\n";
    mends(named, "name:", "kubernetes.io/metadata.name:", false);
    let inside = "  ingress:\n  - from: [{ipBlock: {cidr: 203.0.113.50/24}}]\n";
    mends(inside, "203.0.113.50/24", "203.0.113.0/24", false);
}

#[test]
fn what_stands_twice_and_what_says_nothing_is_taken_out() {
    let web = "{podSelector: {matchLabels: {app: web}}}";
    let flow = format!(
        "  ingress:\n  - from: [{web}, {web}, {web}]\n    ports: [{{protocol: TCP, port: 80}}]\n"
    );
    mends(&flow, &format!(", {web}, {web}]"), "]", true);
    let block = "  ingress:\n  - from:\n    - podSelector:\n        matchLabels:\n          app: web\n    # again\n    - ipBlock: {cidr: 10.1.0.0/16}\n    - podSelector:\n        matchLabels:\n          app: web\n    ports:\n    - protocol: TCP\n      port: 80\n    - protocol: TCP\n      port: 80\n";
    let once = block
        .replacen("\n    - protocol: TCP\n      port: 80", "", 1)
        .replace(
            "/16}\n    - podSelector:\n        matchLabels:\n          app: web",
            "/16}",
        );
    mends(block, block, &once, true);
    let behind = "  ingress:\n  - from:\n    - namespaceSelector: {matchLabels: {team: ops}}  \n      podSelector: {}\n    - namespaceSelector: {}\n";
    let gone = behind.replace("  \n      podSelector: {}", "");
    mends(behind, behind, &gone, true);
    let before = "  ingress:\n  - from:\n    - podSelector: {}\n      namespaceSelector:\n        matchLabels: {team: ops}\n";
    mends(before, "podSelector: {}\n      ", "", true);
    let inside = "  ingress:\n  - from: [{podSelector: {}, namespaceSelector: {matchLabels: {team: ops}}}]\n";
    mends(inside, "podSelector: {}, ", "", true);
}

#[test]
fn taking_out_keeps_comments_and_meaning() {
    let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: db, namespace: shop}\nspec:\n  podSelector: {matchLabels: {app: db}}\n  policyTypes: [Ingress]\n  ingress:\n  - from:\n";
    let web = "    - podSelector: {matchLabels: {app: web}}\n";
    let twice = format!("{head}{web}{web}");
    assert_eq!(fixed(&twice, false), format!("{head}{web}"));
    assert_eq!(graph(&twice), graph(&format!("{head}{web}")));
    let told = format!("{head}{web}    # the second shop\n{web}");
    assert!(codes(&told).contains(&"NP127"));
    assert_eq!(fixed(&told, false), told);
}

#[test]
fn a_label_is_written_as_the_pods_have_it_on_demand() {
    let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: db, namespace: shop}\nspec:\n  policyTypes: [Ingress]\n  podSelector:\n    matchLabels:\n";
    for (pods, written, wanted) in [
        (
            "app: database",
            "app: datbase  # all",
            "app: database  # all",
        ),
        (
            "app: database",
            "\"app\": \"datbase\"",
            "\"app\": \"database\"",
        ),
        (
            "app.kubernetes.io/name: db",
            "name: db",
            "app.kubernetes.io/name: db",
        ),
        // Written without quotes this would be no string.
        ("live: \"true\"", "live: \"True\"", "live: \"True\""),
    ] {
        let text = |label: &str| {
            format!(
                "{head}      {label}\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: db, namespace: shop, labels: {{{pods}}}}}\n"
            )
        };
        let codes = codes(&text(written));
        assert!(codes.contains(&"NP205"), "{codes:?} {written}");
        assert_eq!(fixed(&text(written), true), text(wanted));
        assert_eq!(fixed(&text(written), false), text(written));
    }
}

#[test]
fn fields_in_json_keep_their_quotes() {
    let text = "{\"apiVersion\": \"networking.k8s.io/v1\", \"kind\": \"NetworkPolicy\", \"metadata\": {\"name\": \"db\", \"namespace\": \"shop\"}, \"spec\": {\"podSelector\": {}, \"ingress\": [{\"ports\": [{\"port\": 80}]}]}}";
    let after = fixed(text, false);
    let value: serde_json::Value = serde_json::from_str(&after).unwrap();
    assert_eq!(value["spec"]["policyTypes"], serde_json::json!(["Ingress"]));
    assert_eq!(value["spec"]["ingress"][0]["ports"][0]["protocol"], "TCP");
    assert_eq!(graph(&format!("{after}\n")), graph(&format!("{text}\n")));
}

fn nopal(folder: &TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nopal"))
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .unwrap()
}

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("db.yaml"), POLICY).unwrap();
    folder
}

#[test]
fn diff_changes_nothing_and_fix_does() {
    let folder = folder();
    let file = folder.path().join("db.yaml");
    let shown = nopal(&folder, &["lint", "--diff", "db.yaml"]);
    let diff = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(shown.status.code(), Some(1));
    assert!(diff.starts_with("--- a/db.yaml\n+++ b/db.yaml\n"), "{diff}");
    assert!(diff.contains("+    - protocol: TCP\n"), "{diff}");
    assert_eq!(fs::read_to_string(&file).unwrap(), POLICY);
    nopal(&folder, &["lint", "--fix", "db.yaml"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), fixed(POLICY, false));
    let again = nopal(&folder, &["lint", "--diff", "db.yaml"]);
    assert_eq!((again.status.code(), again.stdout.len()), (Some(0), 0));
}

#[test]
fn a_baseline_hides_what_it_holds_and_nothing_else() {
    let folder = folder();
    let report = nopal(&folder, &["lint", "--format", "json", "db.yaml"]);
    fs::write(folder.path().join("base.json"), &report.stdout).unwrap();
    let arguments = [
        "lint",
        "--format",
        "concise",
        "--baseline",
        "base.json",
        "db.yaml",
    ];
    let same = nopal(&folder, &arguments);
    assert_eq!((same.status.code(), same.stdout.len()), (Some(0), 0));
    // Lines that move are no news.
    let moved = format!("# A comment.\n\n{POLICY}  - {{}}\n");
    fs::write(folder.path().join("db.yaml"), moved).unwrap();
    let new = nopal(&folder, &arguments);
    let new_text = String::from_utf8(new.stdout).unwrap();
    assert_eq!(new.status.code(), Some(1));
    assert!(
        new_text.lines().all(|line| line.contains("ingress[1]")),
        "{new_text}"
    );
    fs::write(folder.path().join("base.json"), "{\"findings\": [{}]}").unwrap();
    let other = nopal(&folder, &arguments);
    assert_eq!(other.status.code(), Some(2));
    assert!(
        String::from_utf8(other.stderr)
            .unwrap()
            .contains("another version")
    );
}

#[test]
fn new_from_hides_what_a_revision_had() {
    let folder = folder();
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    git(&["init", "--quiet"]);
    git(&["add", "db.yaml"]);
    git(&["commit", "--quiet", "-m", "One"]);
    let arguments = [
        "lint",
        "--format",
        "concise",
        "--new-from",
        "HEAD",
        "db.yaml",
    ];
    let same = nopal(&folder, &arguments);
    assert_eq!(
        (same.status.code(), same.stdout.len()),
        (Some(0), 0),
        "{same:?}"
    );
    fs::write(folder.path().join("db.yaml"), format!("{POLICY}  - {{}}\n")).unwrap();
    let new = nopal(&folder, &arguments);
    assert_eq!(new.status.code(), Some(1));
    assert!(String::from_utf8(new.stdout).unwrap().contains("NP106"));
    let unknown = nopal(&folder, &["lint", "--new-from", "nowhere", "db.yaml"]);
    assert_eq!(unknown.status.code(), Some(2));
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert!(said.contains("no revision \"nowhere\""), "{said}");
}
