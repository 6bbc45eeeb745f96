//! What fuzzers feed to the readers of foreign text: none may panic, whatever stands there.
//!
//! The targets in `cli/fuzz` call these, and the mutation test of the ordinary suite does.

use std::sync::Arc;

use policy_core::{RuleGraph, lower};
use serde_json::json;

use crate::inventory::{Inventory, MadeUp};
use crate::lint::lint;
use crate::manifest::{Content, Manifests, Part, Source, agrees_with_parser, read_source};
use crate::questions::selection;
use crate::report::fingerprint;
use crate::{connectivity, port, snapshot, suggest};

/// A reader of foreign text.
pub type Reader = fn(&str);

/// Every reader, by the name of its target.
pub const READERS: [(&str, Reader); 10] = [
    ("manifest", manifest),
    ("plain", plain),
    ("lint", linted),
    ("selection", selection),
    ("flows", flows),
    ("tests", tests),
    ("baseline", baseline),
    ("snapshot", snapshots),
    ("annotation", annotation),
    ("setting", setting),
];

/// A fuzzer's bytes for the reader of this name.
///
/// # Panics
/// When no reader has the name.
pub fn feed(name: &str, data: &[u8]) {
    let mut readers = READERS.iter();
    let reader = readers.find(|(known, _)| *known == name);
    let (_, read) = reader.expect("a target is named like its reader");
    read(&String::from_utf8_lossy(data));
}

/// Manifests: read, and their policies lowered.
fn manifest(text: &str) {
    let manifests = read(text);
    for object in &manifests.objects {
        if let Content::Policy(policy) = &object.content {
            let (_, problems) = lower::policy(&policy.object, &policy.unread);
            for problem in problems {
                let place = policy.fields.place(&problem.path, Part::Value);
                place.source.slice(place.span);
            }
        }
    }
}

/// YAML, in the short way and by the parser.
fn plain(text: &str) {
    agrees_with_parser(text);
}

/// Manifests: linted and compiled.
fn linted(text: &str) {
    let manifests = read(text);
    lint(&manifests, &crate::lint::Selection::default());
    let inventory = Inventory::new(&manifests, MadeUp::Addresses);
    let graph = RuleGraph::compile(&inventory.cluster);
    let _ = graph.minimize();
}

/// The ends and the port of `nopal query`.
fn selection(text: &str) {
    let _ = selection::Selection::parse(text);
    let _ = selection::selector(text);
    let _ = port::parse(text);
}

/// The flows of `nopal suggest`, lines of a deny log among them.
fn flows(text: &str) {
    let (written, _) = suggest::parse(text);
    let manifests = read(text);
    let inventory = Inventory::new(&manifests, MadeUp::Addresses);
    let isolating = suggest::Isolating::usual(&inventory);
    let _ = suggest::suggest(&inventory, &inventory.cluster, &written, isolating);
}

/// The files of `nopal test`, run against themselves.
fn tests(text: &str) {
    let manifests = read(text);
    let inventory = Inventory::new(&manifests, MadeUp::Addresses);
    let graph = RuleGraph::compile(&inventory.cluster);
    for (test, number) in manifests.tests().zip(1..) {
        let _ = connectivity::run(&inventory, &graph, test, number);
    }
}

/// The report that `nopal lint --baseline` reads.
fn baseline(text: &str) {
    let _ = fingerprint::known(text);
}

/// The file that `nopal snapshot --check` reads, before and after.
fn snapshots(text: &str) {
    let _ = snapshot::compare(text, text);
    let head = text.lines().next().unwrap_or_default();
    let _ = snapshot::compare(text, head);
}

/// A policy's annotations and the comment beside it.
fn annotation(text: &str) {
    let line = text.lines().next().unwrap_or_default();
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": "web",
            "annotations": {"nopal.dev/ignore": text, "nopal.dev/mode": text},
        },
        "spec": {},
    });
    let manifests = read(&format!("# nopal: ignore {line}\n{policy}\n"));
    lint(&manifests, &crate::lint::Selection::default());
}

/// A variable, an argument and a `ConfigMap` of a workload.
fn setting(text: &str) {
    let container = json!({
        "name": "main",
        "args": [text],
        "env": [{"name": "DB_HOST", "value": text}],
        "envFrom": [{"configMapRef": {"name": "map"}}],
    });
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
        }},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map"}, "data": {"HOST": text}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}, "spec": {
            "selector": {"app": "web"}, "ports": [{"port": 80}],
        }},
    ]});
    lint(
        &read(&objects.to_string()),
        &crate::lint::Selection::default(),
    );
}

fn read(text: &str) -> Manifests {
    read_source(
        &Arc::new(Source::new("fuzz".to_owned(), text.to_owned())),
        "default",
    )
}
