//! Surroundings that are against it: texts made to explode, readers that go away, narrow terminals, reports and revisions that
//! are not what was asked for. Nothing panics, memory stays bounded, and the exit code tells.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {}
  ingress:
  - from:
    - ipBlock: {cidr: 203.0.113.0/33}
";

const PODS: &str = "\
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop}
";

/// How much memory a run may have, in KiB of addresses: files are at most tens of MB here.
const MEMORY: usize = 3 << 20;

fn folder(text: impl AsRef<[u8]>) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("in.yaml"), text).unwrap();
    folder
}

/// Runs a line of the shell in which `$nopal` is the command.
fn shell(folder: &TempDir, line: &str) -> (i32, String, String) {
    let mut command = Command::new("bash");
    command.args(["-c", line]).current_dir(folder.path());
    command.env("nopal", env!("CARGO_BIN_EXE_nopal"));
    command.env("RAYON_NUM_THREADS", "2");
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// The exit code and the errors of a lint that may take so much memory and two minutes.
fn lint_bounded(text: impl AsRef<[u8]>) -> (i32, String) {
    let line = format!(
        "ulimit -v {MEMORY}; timeout 120 \"$nopal\" lint in.yaml --format concise --select NP0"
    );
    let (code, _, errors) = shell(&folder(text), &line);
    (code, errors)
}

#[test]
fn a_million_keys_are_read() {
    let keys = |count: usize, indent: &str| -> String {
        let lines = (0..count).map(|key| format!("{indent}k{key}: v\n"));
        lines.collect::<Vec<_>>().concat()
    };
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n{}",
        keys(1_000_000, "  ")
    );
    assert_eq!(lint_bounded(map), (0, String::new()));
    // Each of them is a finding, which takes an unoptimized build its time.
    let unknown = format!("{POLICY}{}", keys(50_000, ""));
    let (code, errors) = lint_bounded(unknown);
    assert_eq!(code, 1, "{errors}");
}

#[test]
fn a_hundred_thousand_labels_are_read() {
    let labels = (0..100_000).map(|key| format!("      k{key}: v\n"));
    let labels = labels.collect::<Vec<_>>().concat();
    let text = POLICY.replace(
        "  podSelector: {}\n",
        &format!("  podSelector:\n    matchLabels:\n{labels}"),
    );
    assert_eq!(lint_bounded(text).0, 1);
}

#[test]
fn aliases_cannot_explode_anywhere() {
    let mut anchors = "a0: &a0 {k: v}\n".to_owned();
    for step in 1..40 {
        let before = step - 1;
        let anchor = format!("a{step}: &a{step} {{l: *a{before}, r: *a{before}}}\n");
        anchors += &anchor;
    }
    let keys = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\n{anchors}");
    let labels = format!(
        "{anchors}{}",
        POLICY.replace("podSelector: {}", "podSelector: *a39")
    );
    let merged = format!(
        "{anchors}{}",
        POLICY.replace("podSelector: {}", "podSelector: {<<: *a39}")
    );
    for text in [keys, labels, merged] {
        let (code, errors) = lint_bounded(text);
        assert_eq!(code, 2);
        assert!(errors.contains("aliases stand for more than"), "{errors}");
    }
}

#[test]
fn what_is_no_utf_8_is_told() {
    let wide: Vec<u8> = "\u{feff}kind: Pod\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (bytes, wanted) in [
        (wide, "not valid UTF-8"),
        (b"a: \xc3\x28\n".to_vec(), "not valid UTF-8"),
        (b"a: \0\0\n".to_vec(), "in.yaml:1"),
    ] {
        let (code, errors) = lint_bounded(bytes);
        assert_eq!(code, 2);
        assert!(errors.contains(wanted), "{errors}");
    }
}

#[test]
fn a_reader_that_goes_away_changes_no_exit_code() {
    let folder = folder(format!("{POLICY}{PODS}"));
    for (arguments, expected) in [
        (&["lint", "in.yaml"][..], 1),
        (&["lint", "in.yaml", "--format", "sarif"], 1),
        (&["matrix", "in.yaml"], 0),
        (&["snapshot", "in.yaml"], 0),
        (&["rules"], 0),
        (&["rule", "NP108"], 0),
        (&["schema", "lint"], 0),
        (&["completions", "bash"], 0),
        (&["man"], 0),
        (&["--help"], 0),
        (&["diff", "in.yaml", "in.yaml"], 0),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
        command.args(arguments).current_dir(folder.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(expected),
            "{arguments:?}: {errors}"
        );
        assert!(!errors.contains("panicked"), "{errors}");
    }
    let (code, _, _) = shell(
        &folder,
        "\"$nopal\" lint in.yaml absent.yaml >/dev/null 2>&-",
    );
    assert_eq!(code, 2, "nobody hears the errors either");
}

#[test]
fn a_terminal_of_forty_columns_is_enough() {
    let folder = folder(format!("{POLICY}{PODS}"));
    for (arguments, expected) in [
        ("lint in.yaml", 1),
        ("matrix in.yaml", 0),
        ("explain in.yaml --from shop/web --to shop/api --port 80", 0),
        ("diff in.yaml in.yaml", 0),
        ("--help", 0),
    ] {
        let line = format!(
            "script -qec 'stty cols 40 rows 10; \"$nopal\" {arguments}' /dev/null </dev/null"
        );
        let (code, text, _) = shell(&folder, &line);
        assert_eq!(code, expected, "{arguments}: {text}");
        assert!(!text.contains("panicked") && text.len() > 20, "{text}");
    }
    let (_, text, _) = shell(
        &folder,
        "NO_COLOR=1 script -qec 'stty cols 40 rows 10; \"$nopal\" diff --help' /dev/null </dev/null",
    );
    let widest = text
        .lines()
        .map(|line| line.trim_end().chars().count())
        .max();
    assert!(
        widest.is_some_and(|widest| (30..=40).contains(&widest)),
        "{text}"
    );
}

#[test]
fn a_baseline_that_is_none_is_refused() {
    let folder = folder(POLICY);
    for (report, message) in [
        ("", "is no report of nopal"),
        ("findings: []", "is no report of nopal"),
        (
            "{\"version\": \"2.1.0\", \"runs\": []}",
            "is a report of another version of nopal",
        ),
        (
            "{\"findings\": [{\"code\": \"NP007\"}]}",
            "is a report of another version of nopal",
        ),
        (
            "{\"findings\": [{\"fingerprint\": 7}]}",
            "is a report of another version of nopal",
        ),
        ("[]", "is a report of another version of nopal"),
    ] {
        fs::write(folder.path().join("base.json"), report).unwrap();
        let (code, text, errors) = shell(&folder, "\"$nopal\" lint in.yaml --baseline base.json");
        assert_eq!((code, text.as_str()), (2, ""), "{report}");
        assert!(
            errors.contains(message) && errors.contains("nopal lint --format json"),
            "{errors}"
        );
    }
    let (code, _, errors) = shell(&folder, "\"$nopal\" lint in.yaml --baseline absent.json");
    assert_eq!(code, 2);
    assert!(errors.contains("absent.json cannot be read"), "{errors}");
    fs::write(
        folder.path().join("base.json"),
        "{\"findings\": [], \"more\": 1}",
    )
    .unwrap();
    assert_eq!(
        shell(&folder, "\"$nopal\" lint in.yaml --baseline base.json").0,
        1
    );
}

#[test]
fn a_revision_that_does_not_exist_is_told() {
    let folder = folder(POLICY);
    // A folder above could be a repository.
    let line = "export GIT_CEILING_DIRECTORIES=$(dirname \"$PWD\")\n";
    let (code, _, errors) = shell(
        &folder,
        &format!("{line}\"$nopal\" lint in.yaml --new-from main"),
    );
    assert_eq!(code, 2);
    assert!(errors.contains("not a git repository"), "{errors}");
    let (code, _, errors) = shell(
        &folder,
        &format!("{line}git init -q; \"$nopal\" lint in.yaml --new-from no-such"),
    );
    assert_eq!(code, 2);
    assert!(
        errors.contains("git knows no revision \"no-such\""),
        "{errors}"
    );
    for revision in ["--all", "-h"] {
        let asked = format!("{line}\"$nopal\" diff git:{revision}:. in.yaml");
        let (code, _, errors) = shell(&folder, &asked);
        assert_eq!(code, 2);
        assert!(errors.contains("git knows no revision"), "{errors}");
    }
}
