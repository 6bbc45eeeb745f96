//! `exposure`, `query`, `equiv` and `coverage`: what they print, and their exit codes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

const SHOP: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, ports: [{name: http, containerPort: 8080}]}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
status: {podIPs: [{ip: 10.0.0.5}]}
---
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: ops}
spec: {hostNetwork: true}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress, Egress]
  ingress:
  - ports: [{port: http}]
  - from: [{namespaceSelector: {}}]
    ports: [{port: 9100}]
  egress:
  - to: [{podSelector: {matchLabels: {app: db}}}]
    ports: [{port: 5432}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}, {namespaceSelector: {}, podSelector: {matchLabels: {role: backup}}}]
    ports: [{port: 5432}]
  - from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]
    ports: [{port: 443}]
  - from: [{ipBlock: {cidr: 203.0.113.0/24}}]
    ports: [{port: 22}]
";

struct Folder(TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn nopal(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
        let output = command.args(arguments).current_dir(self.0.path()).output();
        let output = output.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        (code, text(output.stdout), text(output.stderr))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--format", "json"]].concat();
        serde_json::from_str(&self.nopal(&arguments).1).unwrap()
    }
}

#[test]
fn exposure_tells_the_widest_audience_once() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    let (code, text, _) = folder.nopal(&["exposure", "shop.yaml"]);
    assert_eq!(code, 0);
    assert_eq!(
        text,
        "\
Open to anyone, pods and addresses:
  anyone -> shop/Deployment/web: TCP 8080
  shop/db -> anyone: all

Open to the internet:
  0.0.0.0/0 except 10.0.0.0/8 -> shop/db: TCP 443

Open to every pod of the cluster:
  every pod -> shop/Deployment/web: TCP 9100

Open to pods of namespaces that the input does not hold:
  [other]/[role=backup] -> shop/db: TCP 5432

Open to some addresses of the internet:
  203.0.113.0/24 -> shop/db: TCP 22

On their nodes' networks, so that no policy holds for them:
  ops/agent
"
    );
    let lines = folder.json(&["exposure", "shop.yaml", "--direction", "ingress"]);
    let audiences: Vec<&str> = lines["exposed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["audience"].as_str().unwrap())
        .collect();
    assert_eq!(
        audiences,
        ["anyone", "internet", "cluster", "unknown", "addresses"]
    );
    assert_eq!(
        lines["exposed"][3]["possible"],
        json!(["[other]/[role=backup]"])
    );
    assert_eq!(lines["exposed"][4]["cidrs"], json!(["203.0.113.0/24"]));
    assert_eq!(lines["hostNetwork"], json!(["ops/agent"]));
}

#[test]
fn exposure_fails_on_what_it_is_told_to() {
    let closed = "\
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: a, labels: {app: a}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a, namespace: a}
spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {}}]}]}
";
    let folder = Folder::with(&[("a.yaml", closed)]);
    let code = |arguments: &[&str]| {
        folder
            .nopal(&[&["exposure", "a.yaml"], arguments].concat())
            .0
    };
    let ingress = ["--direction", "ingress", "--fail-on"];
    let fails = |level| code(&[&ingress[..], &[level]].concat());
    assert_eq!(
        ["internet", "cluster", "unknown", "internet,cluster"].map(fails),
        [0, 1, 1, 1]
    );
    assert_eq!(code(&["--fail-on", "internet"]), 1, "egress is open");
    assert_eq!(code(&[]), 0);
}

#[test]
fn coverage_names_what_no_policy_isolates() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    let (code, text, _) = folder.nopal(&["coverage", "shop.yaml"]);
    assert_eq!(code, 0);
    assert_eq!(
        text,
        "\
ingress: 2 of 2 workloads isolated (100%)
egress: 1 of 2 workloads isolated (50%)
  shop/db: no policy
on their nodes' networks, where no policy holds:
  ops/agent
"
    );
    let code = |arguments: &[&str]| {
        folder
            .nopal(&[&["coverage", "shop.yaml"], arguments].concat())
            .0
    };
    assert_eq!(code(&["--min", "50"]), 0);
    assert_eq!(code(&["--min", "51"]), 1);
    assert_eq!(code(&["--min", "51", "--direction", "ingress"]), 0);
    assert_eq!(code(&["--min", "101"]), 2);
    let answer = folder.json(&["coverage", "shop.yaml"]);
    assert_eq!(answer["egress"]["open"], json!(["shop/db"]));
    assert_eq!(answer["egress"]["percent"], 50);
}

#[test]
fn a_query_asks_by_names_labels_and_addresses() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    let ask = |from: &str, to: &str, more: &[&str]| {
        let arguments = ["query", "shop.yaml", "--known", "--from", from, "--to", to];
        let (code, text, errors) = folder.nopal(&[&arguments[..], more].concat());
        (code, text + &errors)
    };
    let web_to_db = "shop/Deployment/web -> shop/db: TCP 5432\n";
    assert_eq!(
        ask("shop/Deployment/web", "shop/db", &[]),
        (0, web_to_db.to_owned())
    );
    assert_eq!(
        ask("pod:app=web", "ns:team=shop pod:app in (db)", &[]).1,
        web_to_db
    );
    assert_eq!(
        ask("shop/*", "10.0.0.5", &[]).1.lines().next().unwrap(),
        web_to_db.trim_end()
    );
    let office = "203.0.113.0/24 -> shop/db: TCP 22,443\n";
    assert_eq!(ask("203.0.113.0/24", "shop/db", &[]).1, office);
    let nothing = "Nothing connects.\n".to_owned();
    assert_eq!(
        ask("shop/db", "shop/Deployment/web", &["--port", "22"]),
        (0, nothing.clone())
    );
    assert_eq!(
        ask("external", "shop/db", &["--port", "5432", "--not"]),
        (0, nothing)
    );
    let (code, text) = ask("external", "shop/db", &["--port", "22", "--not"]);
    assert_eq!(
        (code, text.as_str()),
        (1, "203.0.113.0/24 -> shop/db: TCP 22\n")
    );
}

#[test]
fn a_query_about_nobody_is_an_error() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    let error = |from: &str, to: &str| {
        let arguments = ["query", "shop.yaml", "--not", "--from", from, "--to", to];
        let (code, text, errors) = folder.nopal(&arguments);
        assert_eq!((code, text.as_str()), (2, ""), "{from} {to}");
        errors
    };
    for (from, to, message) in [
        ("shpo/*", "shop/db", "--from matches no pod of the input"),
        (
            "shop/db",
            "pod:app=wbe",
            "--to matches no pod of the input: a question about nobody has no answer; did you mean app=web?\n",
        ),
        (
            "shop/web",
            "shop/db",
            "has no answer; did you mean shop/Deployment/web?\n",
        ),
        ("ns:team=ops pod:app=wbe", "shop/db", "has no answer\n"),
        (
            "shop/nobody",
            "shop/db",
            "--from matches no pod of the input",
        ),
        (
            "external",
            "10.9.0.0/16",
            "neither --from nor --to is a pod",
        ),
        ("pod:app in web", "shop/db", "is no list: write (b,c)"),
        ("nonsense", "shop/db", "is no end"),
    ] {
        let errors = error(from, to);
        assert!(errors.contains(message), "{from} {to}: {errors}");
    }
}

#[test]
fn a_query_counts_pods_that_could_be_unless_told_not_to() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    let ask = |from: &str| {
        let arguments = [
            "query",
            "shop.yaml",
            "--not",
            "--from",
            from,
            "--to",
            "shop/db",
        ];
        folder.nopal(&arguments)
    };
    let (code, text, _) = ask("unknown");
    assert_eq!(code, 1);
    assert!(
        text.starts_with("[other]/[role=backup] -> shop/db: TCP 5432\n"),
        "{text}"
    );
    assert!(text.contains("--known"), "{text}");
    let (code, text, _) = ask("pod:app=web");
    assert_eq!(
        (code, text.as_str()),
        (1, "shop/Deployment/web -> shop/db: TCP 5432\n")
    );
}

const ONE: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: both, namespace: shop}
spec:
  podSelector: {matchExpressions: [{key: app, operator: In, values: [a, b]}]}
  ingress:
  - from: [{podSelector: {matchLabels: {role: client}}}, {ipBlock: {cidr: 10.0.0.0/8}}]
    ports: [{port: 80}, {port: 81}, {port: http}]
";

/// The same in other words: split by subject, by block, and by ports.
const SAME: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a, namespace: shop}
spec:
  podSelector: {matchLabels: {app: a}}
  ingress:
  - from: [{podSelector: {matchLabels: {role: client}}}, {ipBlock: {cidr: 10.0.0.0/9}}, {ipBlock: {cidr: 10.128.0.0/9}}]
    ports: [{port: http}, {port: 80, endPort: 81}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: b, namespace: shop}
spec:
  podSelector: {matchLabels: {app: b}}
  ingress:
  - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}, podSelector: {matchLabels: {role: client}}}]
    ports: [{port: 80}, {port: 81}, {port: http}]
  - from: [{ipBlock: {cidr: 10.0.0.0/8}}]
    ports: [{port: 80}, {port: 81}, {port: http}]
";

#[test]
fn the_same_in_other_words_is_equivalent_for_any_pods() {
    let folder = Folder::with(&[("one.yaml", ONE), ("same.yaml", SAME)]);
    let (code, text, _) = folder.nopal(&["equiv", "one.yaml", "same.yaml"]);
    assert_eq!(
        (code, text.as_str()),
        (0, "They mean the same, for any pods and namespaces.\n")
    );
}

#[test]
fn a_difference_comes_with_the_simplest_example() {
    for (from, to, expected) in [
        (
            "{role: client}",
            "{role: clients}",
            "only one.yaml: shop/[role=client] -> shop/[app=a]: TCP 80-81",
        ),
        (
            "{port: 80, endPort: 81}",
            "{port: 80}",
            "only one.yaml: shop/[role=client] -> shop/[app=a]: TCP 81",
        ),
        (
            "10.128.0.0/9",
            "10.128.0.0/10",
            "only one.yaml: [other]/[other] -> shop/[app=a]: TCP 80-81",
        ),
        (
            "[{port: http}, ",
            "[",
            "only one.yaml admits for ingress: 10.0.0.0/9 -> shop/[app=a]: TCP port named http",
        ),
        (
            "{app: b}",
            "{app: b, tier: x}",
            "only other.yaml admits for ingress: 10.0.0.0/8 -> shop/[app=b]: ",
        ),
    ] {
        let other = SAME.replace(from, to);
        assert_ne!(other, SAME);
        let folder = Folder::with(&[("one.yaml", ONE), ("other.yaml", &other)]);
        let (code, text, _) = folder.nopal(&["equiv", "one.yaml", "other.yaml"]);
        assert_eq!(code, 1, "{text}");
        assert!(text.contains(expected), "{from}: {text}");
        let answer = folder.json(&["equiv", "one.yaml", "other.yaml"]);
        assert_eq!(answer["equivalent"], false);
    }
}

#[test]
fn pods_that_no_input_holds_can_differ_alone() {
    let pods = SHOP.split("---\napiVersion: networking").next().unwrap();
    let policy = |port: &str| {
        format!(
            "{pods}---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: web, namespace: shop}}\n\
             spec: {{podSelector: {{matchLabels: {{app: web}}}}, ingress: [{{ports: [{{port: {port}}}]}}]}}\n"
        )
    };
    let (named, numbered) = (policy("http"), policy("8080"));
    let folder = Folder::with(&[("a.yaml", &named), ("b.yaml", &numbered)]);
    let (code, text, _) = folder.nopal(&["equiv", "a.yaml", "b.yaml"]);
    assert_eq!(code, 1);
    assert_eq!(
        text,
        "They mean the same for the pods of the input, but not for others.\n\
         \x20 only b.yaml admits for ingress: any address -> shop/[app=web]: TCP 8080\n"
    );
    let (code, text, _) = folder.nopal(&["equiv", "a.yaml", "b.yaml", "--scope", "input"]);
    assert_eq!(
        (code, text.as_str()),
        (0, "They mean the same for the pods of the input.\n")
    );
    let (code, _, errors) = folder.nopal(&["equiv", "a.yaml", "nowhere.yaml"]);
    assert_eq!(code, 2, "{errors}");
}

#[test]
fn what_cannot_be_read_is_not_told_to_open_nothing() {
    let folder = Folder::with(&[]);
    let (code, text, errors) = folder.nopal(&["exposure", "nowhere.yaml"]);
    assert_eq!((code, text.as_str()), (2, ""));
    assert!(errors.starts_with("error: nowhere.yaml: "), "{errors}");
}
