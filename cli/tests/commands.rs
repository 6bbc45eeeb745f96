//! The commands' answers and their formats.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Two pods and a workload without addresses, a finished pod, and a policy that closes one of them.
const SHOP: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web}]}}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-1, namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: a}]}
spec: {template: {metadata: {labels: {app: web}}}}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, labels: {app: api}}
spec: {containers: [{name: api, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: done, namespace: shop}
status: {phase: Succeeded}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: web}}
    - ipBlock: {cidr: 203.0.113.0/24}
    ports:
    - {port: http}
    - {port: 90, endPort: 99}
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

    /// The exit code, standard output and standard error.
    fn nopal(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nopal"));
        let output = command
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.nopal(arguments).1).unwrap()
    }
}

#[test]
fn the_matrix_names_endpoints_connections_and_the_outside() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    assert_eq!(
        folder.json(&["matrix", "shop.yaml", "--format", "json"]),
        json!({
            "endpoints": [
                {
                    "id": "shop/Deployment/web", "kind": "Deployment",
                    "ips": ["10.244.0.1", "fd00:10:244::1"],
                    "isolated": {"ingress": false, "egress": false},
                },
                {
                    "id": "shop/api", "kind": "Pod",
                    "ips": ["10.244.0.2", "fd00:10:244::2"],
                    "isolated": {"ingress": true, "egress": false},
                },
            ],
            "connections": [
                {
                    "from": "shop/Deployment/web", "to": "shop/api",
                    "allowed": [{"protocol": "TCP", "ports": "90-99,8080"}],
                },
                {"from": "shop/api", "to": "shop/Deployment/web", "allowed": "all"},
                {
                    "from": "external", "to": "shop/Deployment/web",
                    "cidrs": ["0.0.0.0/0", "::/0"], "allowed": "all",
                },
                {
                    "from": "shop/Deployment/web", "to": "external",
                    "cidrs": ["0.0.0.0/0", "::/0"], "allowed": "all",
                },
                {
                    "from": "external", "to": "shop/api", "cidrs": ["203.0.113.0/24"],
                    "allowed": [{"protocol": "TCP", "ports": "90-99,8080"}],
                },
                {"from": "shop/api", "to": "external", "cidrs": ["0.0.0.0/0", "::/0"], "allowed": "all"},
            ],
        })
    );
}

#[test]
fn the_matrix_is_narrowed_to_a_port_and_printed_for_people_and_for_spreadsheets() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    let (code, table, _) = folder.nopal(&["matrix", "shop.yaml", "--port", "95/TCP"]);
    assert_eq!(code, 0);
    assert!(
        table.starts_with(
            "from \\ to                [1]     [2]\n[1] shop/Deployment/web  =       TCP 95\n"
        ),
        "{table}"
    );
    let (_, csv, _) = folder.nopal(&["matrix", "shop.yaml", "--port", "53/UDP", "--format", "csv"]);
    assert!(
        csv.contains("shop/api,shop/Deployment/web,,UDP,\"53\"\n"),
        "{csv}"
    );
    assert!(!csv.contains("shop/Deployment/web,shop/api"), "{csv}");
}

#[test]
fn the_order_of_objects_changes_nothing() {
    let reversed: Vec<&str> = SHOP
        .split("---\n")
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    let reversed = reversed.join("---\n");
    let folder = Folder::with(&[("one.yaml", SHOP), ("other.yaml", &reversed)]);
    let matrix = |file| folder.nopal(&["matrix", file, "--format", "json"]).1;
    assert_eq!(matrix("one.yaml"), matrix("other.yaml"));
}

#[test]
fn an_answer_names_the_rule_and_its_line() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    let explain = |from, port| {
        folder.nopal(&[
            "explain",
            "shop.yaml",
            "--from",
            from,
            "--to",
            "shop/api",
            "--port",
            port,
        ])
    };
    let (code, text, _) = explain("shop/Deployment/web", "8080/TCP");
    assert_eq!(
        (code, text.as_str()),
        (
            0,
            "shop/Deployment/web (10.244.0.1) -> shop/api (10.244.0.2) 8080/TCP: allow\n\
             \x20 because not isolated for egress\n\
             \x20 because shop/api ingress[0]  (shop.yaml:27)\n\
             \x20 the smallest change that denies it:\n\
             \x20   remove spec.ingress[0].from[0] of shop/api  (shop.yaml:28)\n\
             \x20     podSelector: {matchLabels: {app: web}}\n"
        )
    );
    let (code, text, _) = explain("198.51.100.7", "8080/TCP");
    assert_eq!(code, 0);
    assert!(
        text.contains("because shop/api isolates ingress  (shop.yaml:23)"),
        "{text}"
    );
    assert!(
        text.contains("shop/api ingress[0]: no peer matches: "),
        "{text}"
    );
    let (_, text, _) = explain("shop/Deployment/web", "icmp");
    assert!(text.contains("ICMP and other protocols: deny"), "{text}");
}

#[test]
fn an_answer_in_json_has_verdict_and_reasons() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    let arguments = [
        "--from",
        "203.0.113.7",
        "--to",
        "shop/api",
        "--port",
        "91",
        "--format",
        "json",
    ];
    let answer = folder.json(&[&["explain", "shop.yaml"], &arguments[..]].concat());
    assert_eq!(answer["verdict"], "allow");
    assert_eq!(
        answer["because"],
        json!(["not isolated for egress", "shop/api ingress[0]"])
    );
    assert_eq!(answer["families"][0]["family"], "IPv4");
    assert_eq!(answer["families"][0]["remedies"], json!([]));
    assert_eq!(
        answer["families"][0]["closings"],
        json!([{
            "action": "remove",
            "policy": "shop/api",
            "path": "spec.ingress[0].from[1]",
            "place": "shop.yaml:29",
        }])
    );
}

#[test]
fn a_workload_and_itself_are_one_pod_and_not_its_replicas() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    for (end, is_told) in [("shop/Deployment/web", true), ("shop/api", false)] {
        let asked = [
            "explain",
            "shop.yaml",
            "--from",
            end,
            "--to",
            end,
            "--port",
            "80",
        ];
        let (code, text, errors) = folder.nopal(&asked);
        assert_eq!(code, 0, "{errors}");
        assert!(text.contains("because own address"), "{text}");
        assert_eq!(errors.contains("between its replicas"), is_told, "{errors}");
    }
}

#[test]
fn an_end_that_is_nowhere_is_an_error() {
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    for (end, message) in [
        ("shop/nobody", "shop/nobody is not in the input\n"),
        (
            "shop/web",
            "shop/web is not in the input; did you mean shop/Deployment/web?\n",
        ),
        (
            "shop/apii",
            "shop/apii is not in the input; did you mean shop/api?\n",
        ),
        (
            "default/api",
            "default/api is not in the input; did you mean shop/api?\n",
        ),
        ("shop/done", "shop/done has finished"),
        ("nonsense", "\"nonsense\" is no end"),
        ("shop/ReplicaSet/web-1", "is not in the input"),
    ] {
        let (code, text, errors) = folder.nopal(&[
            "explain",
            "shop.yaml",
            "--from",
            end,
            "--to",
            "shop/api",
            "--port",
            "80",
        ]);
        assert_eq!((code, text.as_str()), (2, ""), "{end}");
        assert!(errors.contains(message), "{errors}");
    }
}

const TESTS: &str = "\
apiVersion: nopal.dev/v1alpha1
kind: ConnectivityTest
metadata: {name: shop}
tests:
- name: web reaches api
  from: {workload: shop/Deployment/web}
  to: {pod: shop/api}
  port: 8080
  expect: allow
- from: {pod: shop/api}
  to: {workload: shop/Deployment/web}
  protocol: UDP
  expect: allow
- from: {ip: \"2001:db8::1\"}
  to: {pod: shop/api}
  expect: deny
";

#[test]
fn tests_that_hold_pass() {
    let folder = Folder::with(&[("shop.yaml", SHOP), ("tests.yaml", TESTS)]);
    let (code, text, errors) = folder.nopal(&["test", "shop.yaml", "--tests", "tests.yaml"]);
    assert_eq!((code, errors.as_str()), (0, ""), "{text}");
    let results = folder.json(&[
        "test",
        "shop.yaml",
        "--tests",
        "tests.yaml",
        "--format",
        "json",
    ]);
    assert_eq!(
        results,
        json!({
            "passed": 3,
            "failed": 0,
            "tests": [
                {
                    "name": "web reaches api", "from": "shop/Deployment/web", "to": "shop/api",
                    "port": 8080, "protocol": "TCP", "family": "IPv4", "expect": "allow", "actual": "allow",
                    "ok": true, "because": ["not isolated for egress", "shop/api ingress[0]"],
                },
                {
                    "name": "2", "from": "shop/api", "to": "shop/Deployment/web",
                    "port": null, "protocol": "UDP", "family": "IPv4", "expect": "allow", "actual": "allow",
                    "ok": true, "because": ["not isolated for egress", "not isolated for ingress"],
                },
                {
                    "name": "3", "from": "2001:db8::1", "to": "shop/api",
                    "port": null, "protocol": "TCP", "family": "IPv6", "expect": "deny", "actual": "deny",
                    "ok": true, "because": ["shop/api isolates ingress"],
                },
            ],
        })
    );
}

#[test]
fn one_open_port_fails_a_test_that_wants_none_and_one_closed_port_a_test_that_wants_all() {
    for (expect, actual, reason) in [
        ("deny", "allow", "allow: TCP 90-99,8080"),
        ("allow", "deny", "deny: TCP 1-89,100-8079,8081-65535"),
    ] {
        let test = TESTS.replace(
            "  port: 8080\n  expect: allow",
            &format!("  expect: {expect}"),
        );
        let folder = Folder::with(&[("shop.yaml", SHOP), ("tests.yaml", &test)]);
        let arguments = [
            "test",
            "shop.yaml",
            "--tests",
            "tests.yaml",
            "--format",
            "json",
        ];
        assert_eq!(folder.nopal(&arguments).0, 1);
        let results = folder.json(&arguments);
        assert_eq!(
            (&results["passed"], &results["failed"]),
            (&json!(2), &json!(1))
        );
        assert_eq!(results["tests"][0]["actual"], actual);
        assert!(
            results["tests"][0]["because"]
                .as_array()
                .unwrap()
                .contains(&json!(reason)),
            "{results}"
        );
    }
}

#[test]
fn a_test_that_cannot_run_is_no_pass() {
    for (written, wrong, message) in [
        (
            "pod: shop/api",
            "pod: shop/nobody",
            "test \"web reaches api\": to: shop/nobody is not in the input",
        ),
        ("pod: shop/api", "pod: shop/done", "shop/done has finished"),
        ("pod: shop/api", "pod: api", "to: pod: write namespace/name"),
        (
            "pod: shop/api",
            "pod: shop/api, ip: 1.2.3.4",
            "give exactly one of pod, workload and ip",
        ),
        (
            "ip: \"2001:db8::1\"",
            "ip: somewhere",
            "\"somewhere\" is no IP address",
        ),
        (
            "port: 8080",
            "port: 99999",
            "port: 99999 is outside 1 to 65535",
        ),
        (
            "port: 8080",
            "prot: 8080",
            "tests[0].prot: unknown field \"prot\"",
        ),
        (
            "protocol: UDP",
            "protocol: udp",
            "protocol: \"udp\" is none of TCP, UDP and SCTP",
        ),
        (
            "expect: deny",
            "expect: denied",
            "expect: \"denied\" is neither allow nor deny",
        ),
        (
            "  expect: deny\n",
            "  expect: deny\n  family: IPv4\n",
            "no IPv4 address both",
        ),
    ] {
        let tests = TESTS.replacen(written, wrong, 1);
        let folder = Folder::with(&[("shop.yaml", SHOP), ("tests.yaml", &tests)]);
        let (code, _, errors) = folder.nopal(&["test", "shop.yaml", "--tests", "tests.yaml"]);
        assert_eq!(code, 2, "{wrong}");
        assert!(errors.contains(message), "{errors}");
    }
    let folder = Folder::with(&[("shop.yaml", SHOP)]);
    assert_eq!(
        folder
            .nopal(&["test", "shop.yaml", "--tests", "shop.yaml"])
            .0,
        2
    );
}

#[test]
fn standard_input_and_the_default_namespace_are_heeded() {
    let folder = Folder::with(&[(
        "pod.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n",
    )]);
    let file = fs::File::open(folder.0.path().join("pod.yaml")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_nopal"))
        .args(["matrix", "-", "-n", "other", "--format", "json"])
        .stdin(Stdio::from(file))
        .output()
        .unwrap();
    let matrix: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(matrix["endpoints"][0]["id"], "other/a");
}

#[test]
fn other_kinds_are_noted_when_asked_for() {
    let folder = Folder::with(&[(
        "a.yaml",
        "apiVersion: v1\nkind: ConfigMap\n---\napiVersion: v1\nkind: ConfigMap\n",
    )]);
    assert_eq!(
        folder.nopal(&["lint", "a.yaml"]),
        (0, String::new(), String::new())
    );
    let (_, _, notes) = folder.nopal(&["lint", "a.yaml", "-v"]);
    assert_eq!(notes, "note: passed over 2 of kind ConfigMap (v1)\n");
}

#[test]
fn a_node_is_rendered_as_nft_text_and_json_and_only_with_addresses_that_exist() {
    let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: db, namespace: shop, labels: {app: api}}\nspec: {nodeName: node-a}\nstatus: {podIP: 10.0.1.5}\n";
    let folder = Folder::with(&[("shop.yaml", &(SHOP.to_owned() + pod))]);
    let (code, text, errors) = folder.nopal(&["render", "shop.yaml", "--node", "node-a"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(
        text.contains("10.0.1.5") && !text.contains("10.244."),
        "{text}"
    );
    let json = folder.json(&[
        "render",
        "shop.yaml",
        "--node",
        "node-a",
        "--format",
        "json",
    ]);
    assert!(
        json["nftables"]
            .as_array()
            .is_some_and(|commands| !commands.is_empty())
    );
    let (code, text, errors) = folder.nopal(&["render", "shop.yaml", "--node", "node-b"]);
    assert_eq!((code, text.as_str()), (2, ""));
    assert!(
        errors.contains("node node-b is not in the input"),
        "{errors}"
    );
}
