//! The graph in each of its formats, and the one in the documentation.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

const SHOP: &str = "demo/shop.yaml";

fn graph(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_nopal"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("graph")
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_picture_in_the_documentation_is_current() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/pictures/shop.svg");
    let now = graph(&[SHOP, "--format", "svg"]);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(file, &now).unwrap();
    }
    let written = fs::read_to_string(file).unwrap();
    assert!(
        written == now,
        "docs/pictures/shop.svg is out of date: UPDATE=1 cargo test -p nopal --test graph"
    );
}

#[test]
fn edges_are_what_rules_say_of_their_ends() {
    let value: Value = serde_json::from_str(&graph(&[SHOP, "--format", "json"])).unwrap();
    let edge = |from: &str, to: &str| {
        let edges = value["edges"].as_array().unwrap().iter();
        let mut found = edges.filter(|edge| edge["from"] == from && edge["to"] == to);
        found.next().map(|edge| edge["allowed"].clone())
    };
    let tcp = |ports: &str| Some(json!([{"protocol": "TCP", "ports": ports}]));
    assert_eq!(edge("shop/Deployment/web", "shop/api"), tcp("3000"));
    assert_eq!(edge("198.51.100.0/25", "shop/Deployment/web"), tcp("8080"));
    assert_eq!(edge("payment/gateway", "203.0.113.16/28"), tcp("443"));
    assert_eq!(edge("shop/db", "shop/api"), None);
    // No policy limits either end, so everything passes without a rule.
    assert_eq!(edge("ops/dns", "ops/prometheus"), None);
    let nodes = value["nodes"].as_array().unwrap();
    let dns = nodes.iter().find(|node| node["id"] == "ops/dns").unwrap();
    assert_eq!(
        dns["isolated"],
        json!({"ingress": "open", "egress": "open"})
    );
    let api = nodes.iter().find(|node| node["id"] == "shop/api").unwrap();
    assert_eq!(
        api["isolated"],
        json!({"ingress": "isolated", "egress": "isolated"})
    );
}

#[test]
fn namespaces_stand_for_their_workloads() {
    let value: Value =
        serde_json::from_str(&graph(&[SHOP, "--format", "json", "--group", "namespace"])).unwrap();
    let nodes = value["nodes"].as_array().unwrap().iter();
    let ids: Vec<&str> = nodes
        .filter(|node| node["kind"] == "namespace")
        .map(|node| node["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["ops", "payment", "shop"]);
    let edges = value["edges"].as_array().unwrap().iter();
    let within = edges
        .clone()
        .find(|edge| edge["from"] == "shop" && edge["to"] == "shop")
        .unwrap();
    assert_eq!(
        within["allowed"],
        json!([{"protocol": "TCP", "ports": "3000,5432"}])
    );
    assert_eq!(within["count"], 2);
}

#[test]
fn what_everyone_may_is_a_mark_and_no_edge() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.yaml");
    fs::write(
        &file,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {a: b}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: other}\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {matchLabels: {a: b}}, ingress: [{ports: [{port: 80}]}]}\n",
    )
    .unwrap();
    let value: Value =
        serde_json::from_str(&graph(&[file.to_str().unwrap(), "--format", "json"])).unwrap();
    assert_eq!(value["edges"], json!([]));
    let nodes = value["nodes"].as_array().unwrap().iter();
    let web = nodes
        .clone()
        .find(|node| node["id"] == "default/web")
        .unwrap();
    assert_eq!(
        web["fromEveryone"],
        json!([{"protocol": "TCP", "ports": "80"}])
    );
}

#[test]
fn every_format_speaks_of_every_node_and_edge() {
    let value: Value = serde_json::from_str(&graph(&[SHOP, "--format", "json"])).unwrap();
    let count = |key: &str| value[key].as_array().unwrap().len();
    assert_eq!((count("nodes"), count("edges")), (12, 15));
    let dot = graph(&[SHOP, "--format", "dot"]);
    assert_eq!(dot.matches(" -> ").count(), 15);
    assert_eq!(
        dot.lines()
            .filter(|line| line.trim_start().starts_with('n')
                && line.ends_with("];")
                && !line.contains("->"))
            .count()
            - 1,
        12
    );
    let mermaid = graph(&[SHOP, "--format", "mermaid"]);
    assert_eq!(mermaid.matches(" -->|").count(), 15);
    let svg = graph(&[SHOP, "--format", "svg"]);
    assert_eq!(svg.matches("<g class=\"edge").count(), 15);
    assert_eq!(svg.matches("<g class=\"node").count(), 12);
}

#[test]
fn the_order_of_the_input_changes_no_byte() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/demo/shop.yaml")).unwrap();
    let mut documents: Vec<&str> = text.split("\n---\n").collect();
    documents.reverse();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in.yaml");
    fs::write(&file, documents.join("\n---\n")).unwrap();
    assert_eq!(graph(&[file.to_str().unwrap()]), graph(&[SHOP]));
}
