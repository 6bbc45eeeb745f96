//! Each rule's page: its example is found, what it says to use instead is not, and `docs/rules` holds the page.
//! `UPDATE=1` writes `docs/rules`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use nopal::lint::{Profile, RULES, Rule, Selection, lint};
use nopal::manifest::{Source, read_source};
use nopal::report::rules::markdown;

/// The YAML block under a heading of a page.
fn yaml(page: &str, heading: &str) -> String {
    let section = page.split(&format!("## {heading}\n")).nth(1);
    let block = section.and_then(|text| text.split("```yaml\n").nth(1));
    let block = block.and_then(|text| text.split("```").next());
    block.unwrap_or_else(|| panic!("no {heading}")).to_owned()
}

/// A page's piece of YAML as whole objects.
fn manifest(piece: &str) -> String {
    let indented = |text: &str, by: usize| -> String {
        let margin = " ".repeat(by);
        let lines = text.lines();
        lines
            .flat_map(|line| [margin.as_str(), line, "\n"])
            .collect()
    };
    let spec = |text: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: web, namespace: shop}}\nspec:\n{}",
            indented(text, 2)
        )
    };
    let lines = piece.lines().filter(|line| !line.starts_with('#'));
    let first = lines.map(|line| line.split(':').next().unwrap_or_default());
    match first.clone().next().unwrap_or_default() {
        "apiVersion" => format!(
            "{piece}kind: NetworkPolicy\nmetadata: {{name: web, namespace: shop}}\nspec: {{}}\n"
        ),
        "metadata" => {
            format!("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n{piece}spec: {{}}\n")
        }
        "kind" => {
            let documents = piece
                .split("---\n")
                .map(|document| format!("---\napiVersion: {}\n{document}", api_version(document)));
            documents.collect()
        }
        "from" | "ports" => spec(&format!("ingress:\n- {}", indented(piece, 2).trim_start())),
        "ipBlock" => spec(&format!(
            "ingress:\n- from:\n  - {}",
            indented(piece, 4).trim_start()
        )),
        "- podSelector" | "- ipBlock" | "- namespaceSelector" | "- {}" => {
            spec(&format!("ingress:\n- from:\n{}", indented(piece, 2)))
        }
        "matchExpressions" | "matchLabels" => {
            spec(&format!("podSelector:\n{}", indented(piece, 2)))
        }
        _ => spec(piece),
    }
}

/// The `apiVersion` that belongs to a document's `kind`.
fn api_version(document: &str) -> &'static str {
    let kind = document
        .lines()
        .find_map(|line| line.strip_prefix("kind: "));
    match kind.unwrap_or_default() {
        "NetworkPolicy" | "Ingress" => "networking.k8s.io/v1",
        "Deployment" | "StatefulSet" | "DaemonSet" => "apps/v1",
        "Job" | "CronJob" => "batch/v1",
        "ValidatingWebhookConfiguration" => "admissionregistration.k8s.io/v1",
        "ServiceMonitor" | "PodMonitor" => "monitoring.coreos.com/v1",
        "CiliumNetworkPolicy" => "cilium.io/v2",
        "RoleBinding" | "ClusterRoleBinding" => "rbac.authorization.k8s.io/v1",
        _ => "v1",
    }
}

fn found(rule: &Rule, text: &str) -> BTreeSet<String> {
    let source = Arc::new(Source::new("page.yaml".to_owned(), text.to_owned()));
    let manifests = read_source(&source, "default");
    assert!(
        manifests.errors.is_empty(),
        "{}: {:?}\n{text}",
        rule.code,
        manifests.errors
    );
    let mut findings = lint(&manifests, &Selection::default());
    findings.extend(lint(
        &manifests,
        &Selection {
            select: vec![rule.code.to_owned()],
            ..Selection::default()
        },
    ));
    findings.extend(lint(
        &manifests,
        &Selection {
            profile: Some(Profile::Cilium),
            ..Selection::default()
        },
    ));
    findings
        .iter()
        .map(|finding| finding.code.to_owned())
        .collect()
}

#[test]
fn each_example_is_found_and_what_to_use_instead_is_not() {
    for rule in RULES {
        let page = rule.page();
        let example = manifest(&yaml(&page, "Example"));
        let instead = manifest(&yaml(&page, "Use instead"));
        let before = found(rule, &example);
        assert!(
            before.contains(rule.code),
            "{}: {before:?}\n{example}",
            rule.code
        );
        let after = found(rule, &instead);
        assert!(!after.contains(rule.code), "{}\n{instead}", rule.code);
    }
}

fn table() -> String {
    let mut text = String::from(
        "# The rules of `nopal lint`\n\nWritten by `UPDATE=1 cargo test -p nopal --test lint_pages` from the rules' own pages.\n\n| code | name | severity | certainty |\n|---|---|---|---|\n",
    );
    let rows = RULES.iter().map(|rule| {
        let (code, name) = (rule.code, rule.name);
        let (severity, certainty) = (rule.severity.word(), rule.certainty.word());
        format!("| [{code}]({code}.md) | {name} | {severity} | {certainty} |")
    });
    text += &rows.collect::<Vec<_>>().join("\n");
    text.push('\n');
    text
}

#[test]
fn docs_rules_holds_every_page() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules");
    let pages = RULES
        .iter()
        .map(|rule| (format!("{}.md", rule.code), markdown(rule)));
    let pages: Vec<_> = pages.chain([("README.md".to_owned(), table())]).collect();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in &pages {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    for (name, text) in &pages {
        let written = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert_eq!(&written, text, "{name}: run with UPDATE=1");
    }
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(files, pages.len(), "a page of a rule that is gone");
}
