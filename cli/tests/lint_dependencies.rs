//! NP222: Services that pods are told to call and may not, and what of their texts is told and what is not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;
use std::sync::Arc;

use nopal::lint::{Finding, Selection, Severity, lint};
use nopal::manifest::{Source, read_source};

/// A Service `db` whose pods let in the pods of the application `api` alone, on port 5432.
const DB: &str = "
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, ports: [{port: 5432, targetPort: 5433}]}
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
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: api}}}]
    ports: [{protocol: TCP, port: 5433}]
";

fn deployment(app: &str, containers: &str) -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {app}, namespace: shop}}\nspec:\n  template:\n    metadata: {{labels: {{app: {app}}}}}\n    spec:\n{containers}"
    )
}

/// A Deployment of one container with these variables, each a line of flow style.
fn with_variables(app: &str, variables: &[&str]) -> String {
    let lines = variables.iter();
    let lines = lines.flat_map(|variable| ["        - {", variable, "}\n"]);
    let variables: String = lines.collect();
    deployment(
        app,
        &format!("      containers:\n      - name: main\n        env:\n{variables}"),
    )
}

fn found_with(text: &str, selection: &Selection) -> Vec<Finding> {
    let source = Arc::new(Source::new("in.yaml".to_owned(), text.to_owned()));
    let manifests = read_source(&source, "default");
    assert!(manifests.errors.is_empty(), "{:?}", manifests.errors);
    let found = lint(&manifests, selection).into_iter();
    found.filter(|finding| finding.code == "NP222").collect()
}

fn found(text: &str) -> Vec<String> {
    let found = found_with(text, &Selection::default()).into_iter();
    found.map(|finding| finding.message).collect()
}

#[test]
fn a_service_is_named_in_many_ways() {
    for value in [
        "db:5432",
        "postgres://db/orders",
        "jdbc:postgresql://db.shop:5432/orders",
        "db.shop.svc.cluster.local",
        "tcp://db.shop.svc:5432",
        "cache:1,db:5432",
    ] {
        let text = with_variables("web", &[&format!("name: A, value: \"{value}\"")]) + DB;
        let found = found(&text);
        assert_eq!(found.len(), 1, "{value}: {found:?}");
        assert!(
            found[0].starts_with(
                "the variable A of container main tells these pods to call Service shop/db"
            ),
            "{found:?}"
        );
        assert!(found[0].ends_with(
            "NetworkPolicy shop/db isolates those behind it for ingress, and no rule lets them in"
        ));
    }
}

#[test]
fn who_is_let_in_is_not_told() {
    let text = with_variables("api", &["name: DB_URL, value: \"postgres://db\""]) + DB;
    assert_eq!(found(&text), [""; 0]);
}

#[test]
fn a_host_and_its_port_may_stand_in_two_variables() {
    let told = |host: &str, port: &str| {
        let host = format!("name: {host}, value: db");
        let port = format!("name: DB_PORT, value: \"{port}\"");
        found(&(with_variables("web", &[&host, &port]) + DB)).len()
    };
    assert_eq!(told("DB_HOST", "5432"), 1);
    // A port that the Service does not have is somebody else's.
    assert_eq!(told("DB_HOST", "8080"), 0);
    // A word that may mean anything.
    assert_eq!(told("DB_NAME", "5432"), 0);
}

#[test]
fn what_names_no_service_of_the_input_is_passed_over() {
    for value in [
        "db.example.com:5432",
        "db.other:5432",
        "10.0.0.1:5432",
        "$(DB):5432",
        "db:80",
        "DB",
    ] {
        let text = with_variables("web", &[&format!("name: DB_HOST, value: \"{value}\"")]) + DB;
        assert_eq!(found(&text), [""; 0], "{value}");
    }
}

#[test]
fn arguments_commands_and_config_maps_tell_too() {
    let map = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: shop}\ndata:\n  url: postgres://db\n  DB_HOST: db\n  app.conf: |\n    # http://nobody\n    upstream db:5432;\n";
    let by = |containers: &str| {
        let text = deployment(
            "web",
            &format!("      containers:\n      - name: main\n{containers}"),
        );
        let found = found(&(text + map + DB)).into_iter();
        let by = found.map(|message| message.split(" tells").next().unwrap().to_owned());
        by.collect::<Vec<_>>()
    };
    let argument = ["an argument of container main"];
    assert_eq!(by("        args: [--db=postgres://db, -v]\n"), argument);
    assert_eq!(
        by("        command: [sh, -c, \"until nc -z db:5432; do sleep 1; done\"]\n"),
        argument
    );
    assert_eq!(
        by(
            "        env:\n        - name: X\n          valueFrom: {configMapKeyRef: {name: settings, key: url}}\n"
        ),
        ["the key url of ConfigMap settings"]
    );
    // Both `DB_HOST` and `url` tell it: without a port and with one.
    assert_eq!(
        by("        envFrom: [{configMapRef: {name: settings}}]\n"),
        [
            "the key DB_HOST of ConfigMap settings",
            "the key app.conf of ConfigMap settings"
        ]
    );
    assert_eq!(
        by("      volumes: [{name: c, configMap: {name: settings}}]\n"),
        ["the key app.conf of ConfigMap settings"]
    );
    assert_eq!(
        by("        envFrom: [{configMapRef: {name: other}}]\n"),
        [""; 0]
    );
}

#[test]
fn the_side_that_denies_is_named() {
    let deny = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny, namespace: shop}\nspec: {podSelector: {matchLabels: {app: WHO}}, policyTypes: [Egress]}\n";
    let variables = ["name: DB_URL, value: \"postgres://db\""];
    let of = |app: &str| {
        let text = with_variables(app, &variables) + &deny.replace("WHO", app) + DB;
        found(&text).concat()
    };
    assert!(
        of("api")
            .ends_with("NetworkPolicy shop/deny isolates them for egress, and no rule allows it")
    );
    assert!(of("web").contains(
        "NetworkPolicy shop/deny isolates them for egress, NetworkPolicy shop/db those behind it"
    ));
}

#[test]
fn silence_where_the_answer_is_not_known() {
    let variables = ["name: DB_URL, value: \"postgres://db\""];
    let text = with_variables("web", &variables);
    let unread = DB.replace("protocol: TCP", "protocol: TPC");
    assert_eq!(found(&(text.clone() + &unread)), [""; 0]);
    let host = text.replace("    spec:\n", "    spec:\n      hostNetwork: true\n");
    assert_eq!(found(&(host + DB)), [""; 0]);
    let named = DB.replace("targetPort: 5433", "targetPort: sql");
    assert_eq!(found(&(text.clone() + &named)), [""; 0]);
    let empty = DB.replace("selector: {app: db}", "selector: {app: gone}");
    assert_eq!(found(&(text.clone() + &empty)), [""; 0]);
    let open = Selection {
        is_open_world: true,
        ..Selection::default()
    };
    let found = found_with(&(text + DB), &open);
    assert!(found.len() == 1 && found[0].severity == Severity::Info);
}

#[test]
fn a_workload_is_told_of_once_at_its_template() {
    let pod = |number: usize| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: web-5d4f-{number}\n  namespace: shop\n  labels: {{app: web, pod-template-hash: 5d4f}}\n  ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: web-5d4f, uid: a, controller: true}}]\nspec:\n  containers:\n  - name: main\n    env: [{{name: DB, value: \"db:5432\"}}]\n"
        )
    };
    let pods = [pod(0), pod(1), pod(2)].concat();
    let objects = |text: &str| {
        let found = found_with(text, &Selection::default()).into_iter();
        let objects = found.map(|finding| finding.object.to_string());
        objects.collect::<Vec<_>>()
    };
    assert_eq!(objects(&(pods.clone() + DB)), ["Pod shop/web-5d4f-0"]);
    let template = with_variables("web", &["name: DB, value: \"db:5432\""]);
    assert_eq!(objects(&(pods + &template + DB)), ["Deployment shop/web"]);
}

#[test]
fn the_variable_is_pointed_at_and_no_value_is_ever_printed() {
    let block = deployment(
        "web",
        "      containers:\n      - name: main\n        env:\n        - name: DB_URL\n          value: postgres://shop:hunter2@db/orders?key=hunter3\n",
    );
    let found = found_with(&(block.clone() + DB), &Selection::default());
    assert_eq!(found[0].place.position().line, 12);
    assert_eq!(
        found[0].path.to_string(),
        "spec.template.spec.containers[0].env[0]"
    );
    let flow = with_variables(
        "web",
        &["name: DB_URL, value: \"postgres://shop:hunter2@db\""],
    );
    let line = "---\n{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}, spec: {containers: [{name: main, env: [{name: DB, value: \"postgres://shop:hunter2@db\"}]}]}}\n";
    for text in [block, flow, line.to_owned()] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("in.yaml"), text + DB).unwrap();
        for format in [
            "full",
            "concise",
            "json",
            "sarif",
            "github",
            "gitlab",
            "junit",
            "checkstyle",
        ] {
            let output = Command::new(env!("CARGO_BIN_EXE_nopal"))
                .args(["lint", "in.yaml", "--show-info", "--format", format])
                .current_dir(folder.path())
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.contains("NP222"), "{format}: {text}");
            assert!(!text.contains("hunter"), "{format}: {text}");
        }
    }
}
