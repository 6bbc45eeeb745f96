//! Input that is broken, hostile or absent: a clear message, the right exit code, and the rest is still read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {}
  ingress:
  - from:
    - ipBlock: {cidr: 203.0.113.0/24}
";

fn nopal(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
    command
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// Lints a folder that holds one file; gives the exit code, standard output and standard error.
fn lint(text: impl AsRef<[u8]>) -> (i32, String, String) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("in.yaml"), text).unwrap();
    texts(&nopal(&["lint", ".", "--format", "concise"], folder.path()))
}

fn texts(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn a_good_policy_has_no_findings() {
    assert_eq!(lint(POLICY), (0, String::new(), String::new()));
}

#[test]
fn a_broken_document_is_an_error_and_its_neighbours_are_read() {
    let text = format!(
        "{}---\nkind: [\n---\n{}",
        POLICY.replace("/24", "/33"),
        POLICY.replace("/24", "/34")
    );
    let (code, found, errors) = lint(text);
    assert_eq!(code, 2);
    assert_eq!(found.matches("NP007").count(), 2, "{found}");
    assert!(
        errors.starts_with("error: ./in.yaml:10:7: not valid YAML: "),
        "{errors}"
    );
}

#[test]
fn unknown_fields_are_findings_with_their_place() {
    let (code, found, errors) = lint(POLICY.replace("  - from:", "  - form:"));
    assert_eq!((code, errors.as_str()), (1, ""));
    let expected = "error[NP001] ./in.yaml:7:5: NetworkPolicy shop/web spec.ingress[0].form: unknown field \"form\"\n";
    assert_eq!(found, expected);
}

#[test]
fn wrong_types_in_policies_are_findings_and_elsewhere_errors() {
    let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {hostNetwork: maybe}\n";
    let text = POLICY.replace("cidr: 203.0.113.0/24", "cidr: 24") + pod;
    let (code, found, errors) = lint(text);
    assert_eq!(code, 2);
    assert_eq!(
        found,
        "error[NP007] ./in.yaml:8:23: NetworkPolicy shop/web spec.ingress[0].from[0].ipBlock.cidr: expected a string, found the number 24\n"
    );
    assert_eq!(
        errors,
        "error: ./in.yaml:13:21: Pod default/a spec.hostNetwork: expected true or false, found the text \"maybe\"\n"
    );
}

#[test]
fn values_that_pods_and_nodes_cannot_have_are_errors_with_their_place() {
    let (code, _, errors) = lint(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - ports:\n    - containerPort: 99999\n\
         status: {podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.300}]}\n",
    );
    assert_eq!(code, 2);
    assert_eq!(
        errors,
        "error: ./in.yaml:7:22: Pod default/a spec.containers[0].ports[0].containerPort: port 99999 is outside 1 to 65535\n\
         error: ./in.yaml:8:40: Pod default/a status.podIPs[1].ip: \"10.0.0.300\" is no IP address\n"
    );
}

#[test]
fn a_cidr_out_of_range_is_a_finding() {
    let (code, found, _) = lint(POLICY.replace("/24", "/33"));
    assert_eq!(code, 1);
    assert!(
        found.starts_with("error[NP007] ./in.yaml:8:23: "),
        "{found}"
    );
}

#[test]
fn ten_thousand_levels_are_refused() {
    for text in [
        "[".repeat(10_000),
        "- ".repeat(10_000),
        format!("a: {}", "{a: ".repeat(10_000)),
    ] {
        let (code, _, errors) = lint(text);
        assert_eq!(code, 2);
        assert!(
            errors.contains("more than 200 lists and mappings"),
            "{errors}"
        );
    }
}

#[test]
fn aliases_that_explode_are_refused() {
    let mut text = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned()];
    for step in 1..30 {
        let alias = format!("*a{}, ", step - 1).repeat(10);
        text.push(format!("a{step}: &a{step} [{alias}]\n"));
    }
    let (code, _, errors) = lint(text.concat());
    assert_eq!(code, 2);
    assert!(errors.contains("aliases stand for more than"), "{errors}");
}

#[test]
fn invalid_utf_8_is_an_error_with_its_place() {
    let (code, _, errors) =
        lint([b"kind: Pod\nname: \xff\n".as_slice(), POLICY.as_bytes()].concat());
    assert_eq!(
        (code, errors.as_str()),
        (2, "error: ./in.yaml:2:7: not valid UTF-8\n")
    );
}

#[test]
fn what_is_no_object_is_an_error() {
    for (text, message) in [
        (
            "just text",
            "expected a Kubernetes object, found the text \"just text\"",
        ),
        ("[1]", "expected a Kubernetes object, found a list"),
        (
            "metadata: {name: a}",
            "not a Kubernetes object: it has no kind",
        ),
        ("kind: Pod", "not a Kubernetes object: it has no apiVersion"),
        ("apiVersion: v1\nkind: Pod", "Pod has no metadata.name"),
        (
            "apiVersion: v1\nkind: List\nitems: {}",
            "items: expected a list, found a mapping",
        ),
    ] {
        let (code, _, errors) = lint(text);
        assert_eq!(code, 2, "{text}");
        assert!(errors.contains(message), "{errors}");
    }
}

#[test]
fn ten_thousand_peers_are_fine() {
    let mut text = vec![POLICY.to_owned()];
    for peer in 0..10_000 {
        text.push(format!(
            "    - ipBlock: {{cidr: 10.{}.{}.0/24}}\n",
            peer / 250,
            peer % 250
        ));
    }
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("in.yaml"), text.concat()).unwrap();
    let output = nopal(&["matrix", "in.yaml"], folder.path());
    assert_eq!(output.status.code(), Some(0));
    let bad = text.concat().replace(".0/24}", ".1/24}");
    let (code, found, _) = lint(bad);
    assert_eq!((code, found.lines().count()), (1, 20_002));
}

#[test]
fn fifty_megabytes_are_fine() {
    let line = "    some text of a configuration file, as it may well be stored in a cluster\n";
    let map = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: big}\ndata:\n  text: |\n"
        .to_owned()
        + &line.repeat(6_900);
    let (code, found, errors) = lint(map.repeat(96) + "---\n" + &POLICY.replace("/24", "/33"));
    assert_eq!((code, found.lines().count(), errors.as_str()), (1, 1, ""));
}

#[test]
fn an_empty_folder_and_an_empty_file_are_errors() {
    let folder = TempDir::new().unwrap();
    let (code, _, errors) = texts(&nopal(&["lint", "."], folder.path()));
    assert_eq!(
        (code, errors.as_str()),
        (
            2,
            "error: .: the folder holds no .yaml, .yml or .json file\n"
        )
    );
    fs::write(folder.path().join("empty.yaml"), "# nothing\n").unwrap();
    let (code, _, errors) = texts(&nopal(&["lint", "empty.yaml"], folder.path()));
    assert_eq!(
        (code, errors.as_str()),
        (2, "error: empty.yaml: holds no Kubernetes object\n")
    );
    fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
    assert_eq!(nopal(&["lint", "."], folder.path()).status.code(), Some(0));
}

#[test]
fn an_absent_file_is_an_error_and_the_others_are_read() {
    let folder = TempDir::new().unwrap();
    fs::write(
        folder.path().join("policy.yaml"),
        POLICY.replace("/24", "/33"),
    )
    .unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("gone.yaml")).unwrap();
    for paths in [["policy.yaml", "absent.yaml"], [".", "."]] {
        let arguments = ["lint", paths[0], paths[1], "--format", "concise"];
        let (code, found, errors) = texts(&nopal(&arguments, folder.path()));
        assert_eq!(code, 2);
        assert!(found.contains("NP007"), "{found}");
        assert!(errors.contains("cannot be read: No such file"), "{errors}");
    }
}

#[test]
fn wrong_usage_exits_with_two() {
    let folder = TempDir::new().unwrap();
    for arguments in [
        &["lint"][..],
        &["lint", ".", "--format", "pdf"],
        &["nonsense"],
        &[],
    ] {
        assert_eq!(
            nopal(arguments, folder.path()).status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
}
