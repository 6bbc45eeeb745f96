//! Charts and kustomizations are rendered by the user's own tools; here, tools that stand in for them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn tool(folder: &Path, name: &str, script: &str) {
    let file = folder.join(name);
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// `nopal lint` of a folder with one file, where only these tools are installed.
fn lint(file: &str, tools: &[(&str, &str)]) -> Output {
    let folder = TempDir::new().unwrap();
    let (input, path) = (folder.path().join("web"), folder.path().join("bin"));
    fs::create_dir(&input).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(input.join(file), "name: web\n").unwrap();
    fs::write(input.join("broken.yaml"), "a: {{ .Values.a }}\n").unwrap();
    for (name, script) in tools {
        tool(&path, name, script);
    }
    Command::new(env!("CARGO_BIN_EXE_nopal"))
        .args(["lint", "--format", "concise", "web"])
        .current_dir(folder.path())
        .env("PATH", &path)
        .output()
        .unwrap()
}

const PRINTS: &str = "echo \"# $*\"; echo 'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web, namespace: shop}\nspec: {podSelector: {}, policyTypes: [Ingress], ingress: [{}]}'";

#[test]
fn what_the_tool_prints_is_read() {
    for (file, name) in [("Chart.yaml", "helm"), ("kustomization.yaml", "kubectl")] {
        let output = lint(file, &[(name, PRINTS)]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.starts_with("warning[NP106] web:"), "{text}");
    }
}

#[test]
fn a_tool_that_is_missing_or_fails_is_told() {
    let said = |output: Output| {
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let missing = said(lint("Chart.yaml", &[]));
    assert!(missing.contains("helm cannot be run"), "{missing}");
    let failing = said(lint(
        "Chart.yaml",
        &[("helm", "echo no values >&2; exit 1")],
    ));
    assert!(
        failing.contains("`helm template nopal` fails: no values"),
        "{failing}"
    );
}
