//! Answers about input that could not be read: none where nothing was read, and one that says what it covers where a part
//! was.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "schemas/check.rs"]
mod check;

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const SHOP: &str = "\
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop, labels: {app: db}}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: all, namespace: shop},
  spec: {podSelector: {}, policyTypes: [Ingress, Egress]}}
";

const TESTS: &str = "\
apiVersion: nopal.dev/v1alpha1
kind: ConnectivityTest
tests: [{from: {pod: shop/web}, to: {pod: shop/db}, port: 5432, expect: deny}]
";

const NOTE: &str = "This covers only what could be read; what could not may change it.\n";

/// Commands that answer from what could be read (IN stands for it), and their schema.
const PARTIAL: &[(&str, &str)] = &[
    (
        "explain IN --from shop/web --to shop/db --port 80",
        "explain",
    ),
    ("matrix IN", "matrix"),
    ("matrix IN --group namespace", "matrix-groups"),
    ("query IN --from any --to shop/db --not", "query"),
    ("exposure IN", "exposure"),
    ("coverage IN", "coverage"),
    ("test IN --tests tests.yaml", "test"),
    ("diff whole.yaml IN", "diff"),
    ("diff IN whole.yaml", "diff"),
];

/// Commands that would say something wrong of a part, and do not answer.
const WHOLE: &[&str] = &[
    "equiv whole.yaml IN",
    "snapshot IN",
    "suggest IN --flows flows.txt",
    "watch-denied IN",
];

/// The rest of what reads.
const OTHERS: &[&str] = &[
    "graph IN",
    "graph IN --format json",
    "matrix IN --format html",
    "matrix IN --format json",
    "matrix IN --format csv",
    "render IN --node node-a",
];

fn nopal(arguments: &str) -> (Option<i32>, String, String) {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("whole.yaml", SHOP);
    write("part.yaml", &format!("{SHOP}---\nkind: [\n"));
    write("tests.yaml", TESTS);
    write("flows.txt", "shop/web -> shop/db 5432/TCP\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
    command
        .args(arguments.split(' '))
        .current_dir(folder.path())
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code();
    (code, text(output.stdout), text(output.stderr))
}

#[test]
fn where_nothing_could_be_read_only_the_error_is_told() {
    let partial = PARTIAL.iter().map(|(arguments, _)| arguments);
    for arguments in partial.chain(WHOLE).chain(OTHERS) {
        let (code, text, errors) = nopal(&arguments.replace("IN", "nowhere.yaml"));
        assert_eq!((code, text.as_str()), (Some(2), ""), "{arguments}");
        // A snapshot's file stays as it was, which is told too.
        let lines = if arguments.starts_with("snapshot") {
            2
        } else {
            1
        };
        assert_eq!(errors.lines().count(), lines, "{arguments}: {errors}");
        assert!(
            errors.starts_with("error: ") && errors.contains("nowhere.yaml"),
            "{arguments}: {errors}"
        );
    }
}

#[test]
fn an_answer_from_a_part_says_so() {
    for (arguments, schema) in PARTIAL {
        let arguments = arguments.replace("IN", "part.yaml");
        let (code, text, errors) = nopal(&arguments);
        assert!(text.ends_with(NOTE), "{arguments}: {text}");
        assert_eq!(code, Some(2), "{arguments}");
        assert!(errors.starts_with("error: part.yaml:8:"), "{errors}");
        let (code, text, _) = nopal(&format!("{arguments} --format json"));
        assert_eq!(code, Some(2), "{arguments}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["unread"][0]["line"], 8, "{answer:#}");
        let (_, schema, _) = nopal(&format!("schema {schema}"));
        let schema = serde_json::from_str(&schema).unwrap();
        assert_eq!(check::faults(&answer, &schema), [""; 0], "{arguments}");
    }
    let (code, text, _) = nopal("graph part.yaml --format json");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, answer["unread"][0]["line"].as_i64()),
        (Some(2), Some(8))
    );
}

#[test]
fn an_answer_from_all_has_no_such_note() {
    for (arguments, _) in PARTIAL {
        let arguments = arguments.replace("IN", "whole.yaml");
        let (code, text, _) = nopal(&arguments);
        assert_eq!(code, Some(0), "{arguments}: {text}");
        assert!(!text.contains(NOTE), "{arguments}: {text}");
        let (_, text, _) = nopal(&format!("{arguments} --format json"));
        assert!(!text.contains("unread"), "{arguments}: {text}");
    }
}

#[test]
fn what_needs_all_of_the_input_gives_no_answer_from_a_part() {
    for arguments in WHOLE {
        let (code, text, errors) = nopal(&arguments.replace("IN", "part.yaml"));
        assert_eq!((code, text.as_str()), (Some(2), ""), "{arguments}");
        assert!(!errors.contains("listening"), "{errors}");
    }
}
