//! What is answered from files alone.

use std::fs;

use serde_json::Value;

use super::{compared, folder, is_filled};

const JSON: [&str; 2] = ["--format", "json"];

fn holds(name: &str, arguments: &[&str], lists: &[&str]) -> Value {
    let value = compared(name, &[arguments, &JSON[..]].concat(), &folder());
    is_filled(&value, lists);
    value
}

#[test]
fn explain_of_what_is_to_be_closed_and_of_audit_by_namespace() {
    let folder = folder();
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: {nopal.dev/mode: audit}}\n";
    fs::write(folder.path().join("namespace.yaml"), namespace).unwrap();
    let explain = |files: &[&str], ends: [&str; 2], port: &str| {
        let ends = ["--from", ends[0], "--to", ends[1], "--port", port];
        let asked = [&["explain"], files, &ends, &JSON].concat();
        compared("explain", &asked, &folder)
    };
    for (to, port, action) in [("shop/api", "8080", "remove"), ("shop/web", "80", "add")] {
        let value = explain(&["shop.yaml"], ["203.0.113.7", to], port);
        assert_eq!(value["families"][0]["closings"][0]["action"], action);
    }
    let files = ["shop.yaml", "namespace.yaml"];
    let value = explain(&files, ["shop/web", "shop/api"], "80");
    let namespaces = value["families"][0]["auditingNamespaces"]
        .as_array()
        .unwrap();
    assert!(namespaces.contains(&Value::from("shop")), "{value:#}");
}

#[test]
fn exposure() {
    let value = holds("exposure", &["exposure", "shop.yaml"], &["/exposed"]);
    let lines = value["exposed"].as_array().unwrap();
    for field in ["cidrs", "possible"] {
        assert!(
            lines.iter().any(|line| !line[field].is_null()),
            "{field}: {value:#}"
        );
    }
}

#[test]
fn query() {
    let asked = ["query", "shop.yaml", "--from", "any", "--to", "shop/api"];
    let lists = ["/connections", "/connections/0/from/summary"];
    holds("query", &asked, &lists);
}

#[test]
fn equiv() {
    let asked = ["equiv", "shop.yaml", "more.yaml"];
    let value = holds("equiv", &asked, &["/input"]);
    assert_eq!(value["equivalent"], false);
    let asked = ["equiv", "shop.yaml", "more.yaml", "--scope", "any"];
    holds("equiv", &asked, &["/any"]);
    let asked = ["equiv", "shop.yaml", "shop.yaml", "--scope", "any"];
    assert_eq!(holds("equiv", &asked, &[])["equivalent"], true);
}

#[test]
fn coverage() {
    let asked = ["coverage", "shop.yaml"];
    holds("coverage", &asked, &["/ingress/open", "/egress/audited"]);
    let asked = ["coverage", "shop.yaml", "--direction", "egress"];
    let value = holds("coverage", &asked, &[]);
    assert!(value["ingress"].is_null(), "{value:#}");
}

#[test]
fn suggest() {
    let folder = folder();
    let flows = "shop/web shop/api 8443\nshop/api shop/web 80/UDP\nshop/nobody shop/api 80\n";
    fs::write(folder.path().join("flows.txt"), flows).unwrap();
    let asked = ["suggest", "shop.yaml", "--flows", "flows.txt"];
    let value = compared("suggest", &[&asked[..], &JSON[..]].concat(), &folder);
    let rules = "/policies/0/spec/ingress/0";
    is_filled(
        &value,
        &[
            "/leftOut",
            &format!("{rules}/from"),
            &format!("{rules}/ports"),
        ],
    );
}

#[test]
fn graph() {
    for by in ["workload", "namespace"] {
        let asked = ["graph", "shop.yaml", "--group", by];
        let value = holds("graph", &asked, &["/nodes", "/edges"]);
        let nodes = value["nodes"].as_array().unwrap();
        assert!(nodes.iter().any(|node| node["kind"] == by), "{value:#}");
        assert!(nodes.iter().any(|node| node["kind"] == "addresses"));
    }
}

#[test]
fn matrix_of_groups() {
    let asked = ["matrix", "shop.yaml", "--group", "namespace"];
    let value = holds("matrix-groups", &asked, &["/groups", "/groups/0/members"]);
    let connections = value["connections"].as_array().unwrap();
    for field in ["cidrs", "uniform"] {
        let has = |connection: &Value| !connection[field].is_null();
        assert!(connections.iter().any(has), "{field}: {value:#}");
    }
}
