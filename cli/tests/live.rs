//! `nopal rollout`, and the analysis of a live cluster, with a `kubectl` of the test's own that answers from files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "schemas/check.rs"]
mod check;
#[path = "output/full.rs"]
mod full;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Answers with the file that is named like the arguments, with `_` in place of `/`; says what `FILE.error` holds and
/// fails where there is such a file; knows no other kind.
const KUBECTL: &str = r#"#!/bin/sh
folder="$(dirname "$0")"
echo "$*" >> "$folder/calls"
[ "$1" = --context ] && shift 2
[ "$1" = get ] && shift
case "$1" in
--raw) file=$(echo "$2" | tr '/?' '__') ;;
*) file="$1" ;;
esac
if [ -f "$folder/$file.error" ]; then cat "$folder/$file.error" >&2; exit 1; fi
if [ -f "$folder/$file" ]; then cat "$folder/$file"; exit 0; fi
echo "error: the server doesn't have a resource type \"$file\"" >&2
exit 1
"#;

/// What of an answer of `rollout` is not as its schema has it.
fn faults(answer: &Value) -> Vec<String> {
    let schema = include_str!("../../docs/schema/rollout.json");
    check::faults(answer, &serde_json::from_str(schema).unwrap())
}

const FORBIDDEN: &str = "Error from server (Forbidden): it is forbidden: User \"u\" cannot list";

/// A cluster of files.
struct Cluster(TempDir);

impl Cluster {
    fn new() -> Self {
        let this = Self(TempDir::new().unwrap());
        let program = this.path("kubectl");
        fs::write(&program, KUBECTL).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        this
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn says(&self, name: &str, answer: &Value) {
        fs::write(self.path(name), answer.to_string()).unwrap();
        let _ = fs::remove_file(self.path(&format!("{name}.error")));
    }

    fn fails(&self, name: &str, message: &str) {
        fs::write(self.path(&format!("{name}.error")), message).unwrap();
    }

    /// Exit code, standard output and standard error.
    fn nopal(&self, arguments: &[&str]) -> (i32, String, String) {
        let path = format!("{}:/bin:/usr/bin", self.0.path().display());
        run(self.0.path(), &path, arguments)
    }

    /// A list of objects of one kind.
    fn has(&self, name: &str, items: &[Value]) {
        self.says(
            name,
            &json!({"apiVersion": "v1", "kind": "List", "items": items}),
        );
    }
}

fn run(folder: &Path, path: &str, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_nopal"))
        .args(arguments)
        .current_dir(folder)
        .env("PATH", path)
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn policy(name: &str, version: u64) -> Value {
    json!({"metadata": {"namespace": "shop", "name": name, "resourceVersion": version.to_string()}})
}

fn agent(node: &str) -> Value {
    json!({
        "metadata": {"namespace": "kube-system", "name": format!("nopal-{node}")},
        "spec": {"nodeName": node}, "status": {"phase": "Running"},
    })
}

fn status(policies: &[(&str, u64)]) -> Value {
    let policies = policies.iter().map(|(id, version)| {
        let version = json!({"resourceVersion": version, "generation": 1});
        ((*id).to_owned(), version)
    });
    let policies: serde_json::Map<String, Value> = policies.collect();
    json!({"ready": true, "mode": "enforce", "inForce": {"policies": policies}})
}

const POLICIES: &str = "_apis_networking.k8s.io_v1_networkpolicies";

fn status_of(node: &str) -> String {
    format!("_api_v1_namespaces_kube-system_pods_nopal-{node}:9471_proxy_v1_status")
}

/// Three nodes that have two policies in force.
fn three_nodes() -> Cluster {
    let cluster = Cluster::new();
    let list = json!({
        "metadata": {"resourceVersion": "30"}, "items": [policy("db", 10), policy("web", 20)],
    });
    cluster.says(POLICIES, &list);
    let one =
        "_apis_networking.k8s.io_v1_namespaces_shop_networkpolicies_fieldSelector=metadata.name%3D";
    let list = json!({"metadata": {"resourceVersion": "30"}, "items": [policy("db", 10)]});
    cluster.says(&format!("{one}db"), &list);
    let list = json!({"metadata": {"resourceVersion": "30"}, "items": []});
    cluster.says(&format!("{one}gone"), &list);
    let names = ["node-a", "node-b", "node-c"];
    cluster.has("pods", &names.map(agent));
    cluster.has(
        "nodes",
        &names.map(|name| json!({"metadata": {"name": name}})),
    );
    for node in names {
        cluster.says(
            &status_of(node),
            &status(&[("shop/db", 10), ("shop/web", 20)]),
        );
    }
    cluster
}

#[test]
fn what_is_in_force_everywhere_is_said_to_be() {
    let cluster = three_nodes();
    let (code, out, err) = cluster.nopal(&["rollout"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, "2 policies: in force on 3 of 3 nodes\n");
    let (code, out, _) = cluster.nopal(&["rollout", "shop/db", "--context", "prod"]);
    assert_eq!(out, "shop/db: in force on 3 of 3 nodes\n");
    assert_eq!(code, 0);
    let calls = fs::read_to_string(cluster.path("calls")).unwrap();
    assert!(calls.contains("--context prod get --raw"), "{calls}");
}

#[test]
fn an_answer_that_cannot_be_written_is_told() {
    let cluster = three_nodes();
    let path = format!("{}:/bin:/usr/bin", cluster.0.path().display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
    full::is_told(command.arg("rollout").env("PATH", path));
}

#[test]
fn a_node_that_lags_is_named_with_the_reason() {
    let cluster = three_nodes();
    cluster.says(
        &status_of("node-a"),
        &status(&[("shop/db", 9), ("shop/web", 20)]),
    );
    cluster.fails(
        &status_of("node-b"),
        "error trying to reach service: connection refused",
    );
    cluster.has("pods", &["node-a", "node-b"].map(agent));
    let (code, out, _) = cluster.nopal(&["rollout"]);
    assert_eq!(code, 1);
    assert_eq!(
        out,
        "\
2 policies: in force on 0 of 3 nodes
  node-a: it has shop/db in version 9 and not 10
  node-b: its agent, pod kube-system/nopal-node-b, does not answer at port 9471: error trying to reach service: connection refused
  node-c: no agent runs there
"
    );
    let (code, out, _) = cluster.nopal(&["rollout", "--format", "json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &answer["inForce"], &answer["nodes"]),
        (1, &json!(0), &json!(3))
    );
    assert_eq!(answer["lagging"][2]["node"], "node-c");
    assert_eq!(faults(&answer), [""; 0]);
    let (_, out, _) = cluster.nopal(&["rollout", "shop/db", "--format", "json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["policy"], "shop/db");
    assert_eq!(faults(&answer), [""; 0]);
}

#[test]
fn a_policy_that_was_deleted_must_have_gone() {
    let cluster = three_nodes();
    let held = [("shop/db", 10), ("shop/web", 20), ("shop/old", 25)];
    cluster.says(&status_of("node-c"), &status(&held));
    let (code, out, _) = cluster.nopal(&["rollout"]);
    assert_eq!(code, 1);
    assert!(
        out.contains("node-c: it still has shop/old, which was deleted"),
        "{out}"
    );
    let (code, _, _) = cluster.nopal(&["rollout", "shop/db"]);
    assert_eq!(code, 0, "another policy was asked for");
}

#[test]
fn it_waits_until_it_is_in_force_and_no_longer_than_told() {
    let cluster = three_nodes();
    cluster.says(&status_of("node-b"), &status(&[("shop/db", 10)]));
    let (code, out, _) = cluster.nopal(&["rollout", "--wait", "--timeout", "2s"]);
    assert_eq!(code, 1);
    assert!(
        out.contains("node-b: it does not have shop/web yet"),
        "{out}"
    );
    fs::remove_file(cluster.path("calls")).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| cluster.nopal(&["rollout", "--wait", "--timeout", "10m"]));
        let is_asked = || fs::read_to_string(cluster.path("calls")).unwrap_or_default();
        while !is_asked().contains("node-b") {
            sleep(Duration::from_millis(10));
        }
        let both = status(&[("shop/db", 10), ("shop/web", 20)]);
        cluster.says(&status_of("node-b"), &both);
        let (code, out, _) = waiting.join().unwrap();
        let everywhere = "2 policies: in force on 3 of 3 nodes\n";
        assert_eq!((code, out.as_str()), (0, everywhere));
    });
}

#[test]
fn what_cannot_be_asked_is_said_with_exit_code_2() {
    let cluster = three_nodes();
    let refused = |arguments: &[&str], message: &str| {
        let (code, out, err) = cluster.nopal(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains(message), "{message} in {err}");
    };
    refused(
        &["rollout", "shop/gone"],
        "the cluster has no NetworkPolicy shop/gone",
    );
    cluster.fails(&status_of("node-a"), FORBIDDEN);
    refused(&["rollout"], "which takes the right to get pods/proxy");
    cluster.has("pods", &[]);
    refused(
        &["rollout"],
        "no pod has the label app.kubernetes.io/name=nopal-agent",
    );
    cluster.fails(POLICIES, FORBIDDEN);
    refused(&["rollout"], "networkpolicies cannot be read: forbidden");
    for arguments in [&["rollout"][..], &EXPLAIN] {
        let (code, _, err) = run(cluster.0.path(), "/nowhere", arguments);
        assert_eq!(code, 2);
        assert!(err.contains("kubectl cannot be run"), "{err}");
    }
}

#[test]
fn nodes_that_may_not_be_read_are_known_by_their_agents() {
    let cluster = three_nodes();
    cluster.fails("nodes", FORBIDDEN);
    let (code, out, _) = cluster.nopal(&["rollout"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("2 policies: in force on 3 of 3 nodes\nnote: nodes may not be read"),
        "{out}"
    );
}

/// A shop whose database is open to the web alone.
fn shop() -> Cluster {
    let cluster = Cluster::new();
    let pod = |name: &str, address: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "shop", "name": name, "labels": {"app": name}},
            "spec": {"nodeName": "node-a"},
            "status": {"podIPs": [{"ip": address}], "hostIPs": [{"ip": "192.168.0.1"}]},
        })
    };
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": "db"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "db"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}],
        },
    });
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.168.0.1"}]},
    });
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    cluster.has("namespaces", &[namespace]);
    cluster.has("nodes", &[node]);
    let pods = [
        ("web", "10.0.1.10"),
        ("api", "10.0.1.11"),
        ("db", "10.0.1.12"),
    ];
    cluster.has("pods", &pods.map(|(name, address)| pod(name, address)));
    cluster.has("networkpolicies.networking.k8s.io", &[policy]);
    for kind in [
        "deployments.apps",
        "statefulsets.apps",
        "daemonsets.apps",
        "jobs.batch",
    ] {
        cluster.has(kind, &[]);
    }
    for kind in [
        "cronjobs.batch",
        "services",
        "ingresses.networking.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    ] {
        cluster.has(kind, &[]);
    }
    cluster
}

const EXPLAIN: [&str; 9] = [
    "explain",
    "--context",
    "prod",
    "--from",
    "shop/api",
    "--to",
    "shop/db",
    "--port",
    "80/TCP",
];

#[test]
fn a_live_cluster_is_read_in_place_of_files() {
    let cluster = shop();
    let (code, out, err) = cluster.nopal(&EXPLAIN);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.starts_with("shop/api (10.0.1.11) -> shop/db (10.0.1.12) 80/TCP: deny"),
        "{out}"
    );
    let place = "(cluster:prod/networkpolicies.networking.k8s.io:";
    assert!(out.contains(place), "{out}");
    let (code, out, _) = cluster.nopal(&["render", "--context", "prod", "--node", "node-a"]);
    assert_eq!(code, 0);
    assert!(out.contains("10.0.1.12"), "{out}");
    let (code, out, _) = cluster.nopal(&[
        "lint",
        "--context",
        "prod",
        "--show-info",
        "--format",
        "concise",
    ]);
    assert!(
        out.contains("cluster:prod/networkpolicies.networking.k8s.io:"),
        "{out}"
    );
    assert_eq!(code, 0, "{out}");
}

#[test]
fn a_file_beside_the_cluster_counts_in_place_of_the_cluster_s_object() {
    let cluster = shop();
    let everybody = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: db}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{}]}
";
    fs::write(cluster.path("new.yaml"), everybody).unwrap();
    let (_, out, _) = cluster.nopal(&[&EXPLAIN[..], &["new.yaml"]].concat());
    assert!(out.contains("80/TCP: allow"), "{out}");
    let (code, out, err) = cluster.nopal(&["diff", "cluster:prod", "cluster:"]);
    assert_eq!(code, 0, "{out}{err}");
    let calls = fs::read_to_string(cluster.path("calls")).unwrap();
    assert!(
        calls.lines().any(|call| call.starts_with("get pods")),
        "{calls}"
    );
}

#[test]
fn what_may_not_be_read_is_told_and_ends_with_2_where_nothing_can_be_said_without_it() {
    let cluster = shop();
    cluster.fails("nodes", FORBIDDEN);
    cluster.fails("services", FORBIDDEN);
    let (code, out, err) = cluster.nopal(&EXPLAIN);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("80/TCP: deny"), "{out}");
    assert!(
        err.contains("warning: cluster:prod: nodes cannot be read"),
        "{err}"
    );
    assert!(
        err.contains("warning: cluster:prod: services cannot be read"),
        "{err}"
    );
    let (code, _, err) = cluster.nopal(&["render", "--context", "prod", "--node", "node-a"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("Nodes cannot be read, and rules need their addresses"),
        "{err}"
    );
    for needed in ["namespaces", "pods", "networkpolicies.networking.k8s.io"] {
        let cluster = shop();
        cluster.fails(needed, FORBIDDEN);
        let (code, _, err) = cluster.nopal(&EXPLAIN);
        assert_eq!(code, 2, "{needed}");
        assert!(
            err.contains(needed) && err.contains("forbidden"),
            "{needed}: {err}"
        );
    }
}

#[test]
fn a_cluster_has_no_files_to_fix() {
    let cluster = shop();
    for option in ["--fix", "--diff", "--new-from=main"] {
        let (code, _, err) = cluster.nopal(&["lint", "--context", "prod", option]);
        assert_eq!(code, 2, "{err}");
        assert!(err.contains("cannot be used with"), "{err}");
    }
}
