//! Broken input, made from the cases of `testdata` by seeded mutations of bytes, lines and fields.
//!
//! Whatever stands in a file, nothing panics and what comes out stays in proportion to what went in. And what cannot be
//! read closes: no broken field of a policy admits a flow that the whole policy denies, or that the API's own reading,
//! which drops the fields that it does not know, denies.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use nopal::explain::{explain, explain_by};
use nopal::fuzz;
use nopal::inventory::{Inventory, MadeUp};
use nopal::lint::{Selection, lint};
use nopal::manifest::{Content, Source, read_source};
use nopal::port;
use policy_core::testing::{Objects, Rng};
use policy_core::{Flow, FlowPort, Protocol, RuleGraph, Verdict, lower};
use serde_json::{Value, json};

/// How often each case is mutated, by bytes and by fields.
const BY_BYTES: usize = 4;
const BY_FIELDS: usize = 6;

/// What YAML, the reader and lint give a meaning to.
const PIECES: [&str; 24] = [
    ":",
    ": ",
    "- ",
    "---\n",
    "&a ",
    "*a",
    "<<: *a",
    "{",
    "}",
    "[",
    "]",
    "'",
    "\"",
    "|\n",
    "#",
    "\t",
    "\n",
    "\0",
    "\u{feff}",
    "null",
    "!!str ",
    "18446744073709551616",
    "# nopal: ignore NP1",
    "0x7f",
];

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/cases");
    let entries = fs::read_dir(folder).unwrap();
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

/// A text with one to four pieces lost, doubled, moved or put in.
fn mutated(text: &str, rng: &mut Rng) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=rng.below(4) {
        let start = rng.below(bytes.len() + 1);
        let end = (start + rng.below(40)).min(bytes.len());
        match rng.below(5) {
            0 => drop(bytes.drain(start..end)),
            1 => {
                let piece = bytes[start..end].to_vec();
                let target = rng.below(bytes.len() + 1);
                bytes.splice(target..target, piece);
            }
            2 if start < bytes.len() => bytes[start] ^= 1 << rng.below(8),
            3 => {
                let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
                let (one, other) = (rng.below(lines.len()), rng.below(lines.len()));
                lines.swap(one, other);
                bytes = lines.join(&b'\n');
            }
            _ => drop(bytes.splice(start..start, rng.pick(&PIECES).bytes())),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads a text as every command does, and counts what comes out.
fn take_in(text: &str, flows: &str) {
    let source = Arc::new(Source::new("mutated.yaml".to_owned(), text.to_owned()));
    let manifests = read_source(&source, "default");
    let most = text.len() + 1;
    assert!(manifests.objects.len() + manifests.errors.len() <= most);
    for object in &manifests.objects {
        if let Content::Policy(policy) = &object.content {
            let (_, problems) = lower::policy(&policy.object, &policy.unread);
            assert!(problems.len() <= most);
        }
    }
    let findings = lint(&manifests, &Selection::default());
    assert!(findings.len() <= most, "{} of {most}", findings.len());
    let inventory = Inventory::new(&manifests, MadeUp::Addresses);
    let graph = RuleGraph::compile(&inventory.cluster);
    for row in flows.lines() {
        let words: Vec<&str> = row.split_whitespace().collect();
        let [from, to, asked, ..] = words[..] else {
            continue;
        };
        let asked = asked.split('@').next().unwrap_or_default();
        let Ok(port) = port::parse(asked) else {
            continue;
        };
        // Ends that the mutation took away are an error, and no panic.
        if let Ok(explanation) = explain(&inventory, (from, to), port, None) {
            assert!(explanation.answers.len() <= 2);
            let by_whole = explain_by(&inventory, &graph, (from, to), port, None).unwrap();
            assert_eq!(explanation.verdict(), by_whole.verdict(), "{row}\n{text}");
        }
    }
}

#[test]
fn no_mutation_panics_or_makes_much_of_little() {
    let mut rng = Rng::new(222);
    for case in cases() {
        let text = fs::read_to_string(case.join("cluster.yaml")).unwrap();
        let flows = fs::read_to_string(case.join("flows.txt")).unwrap_or_default();
        for _ in 0..BY_BYTES {
            take_in(&mutated(&text, &mut rng), &flows);
        }
    }
}

/// A text of each kind that a reader takes, from which its mutations start.
const SEEDS: [&str; 10] = [
    "ns:team=a,kubernetes.io/metadata.name notin (b,c) pod:app in (web,api),!legacy",
    "10.0.0.0/8",
    "shop/Deployment/web -> shop/db 5432/TCP\n198.51.100.7 shop/web 443/tcp # from outside\n",
    "{\"verdict\":\"denied\",\"direction\":\"ingress\",\"pod\":{\"name\":\"shop/db\",\"address\":\"10.0.0.1\"},\"peer\":{\"address\":\"10.0.0.2\"},\"protocol\":\"TCP\",\"port\":5432}\n",
    "{\"errors\":[],\"findings\":[{\"code\":\"NP108\",\"fingerprint\":\"5fa8e49e376bfda4:1\"}]}",
    "nopal snapshot, format 1\n\nshop/db\n  ingress isolated\n    from shop/web: TCP 5432\n  egress open\n",
    "NP108 (they are meant), NP2",
    "postgres://user:word@db.shop.svc.cluster.local:5432,db-1.db:5433/name?x=1",
    "server: db:5432\n# http://db\nurl = \"http://db/\"\n",
    "apiVersion: nopal.dev/v1alpha1\nkind: ConnectivityTest\ntests:\n- {from: {pod: shop/web}, to: {ip: 10.0.0.1}, port: 80, expect: deny}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\n",
];

#[test]
fn no_reader_of_foreign_text_panics() {
    let mut rng = Rng::new(5);
    for seed in SEEDS {
        for (_, read) in fuzz::READERS {
            read(seed);
            for _ in 0..12 {
                read(&mutated(seed, &mut rng));
            }
        }
    }
}

#[test]
fn every_reader_has_its_fuzz_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let names: BTreeSet<String> = fuzz::READERS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for name in &names {
        let text = fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(text.contains(&format!("feed(\"{name}\"")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
    let files = fs::read_dir(folder.join("fuzz_targets")).unwrap();
    assert_eq!(files.count(), names.len());
}

/// The fields of a policy's `spec` whose name or type can be broken, as pointers.
fn fields(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields_of) => {
            for (name, inner) in fields_of {
                let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                // The names of labels are the user's own.
                if !at.ends_with("/matchLabels") {
                    found.push(pointer.clone());
                }
                fields(inner, &pointer, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                fields(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Breaks a field: its name is misspelt, or its value is of another type.
fn break_field(policy: &mut Value, pointer: &str, rng: &mut Rng) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = policy.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    let value = parent.remove(name).unwrap();
    if rng.chance(50) {
        parent.insert(format!("{name}s"), value);
        return;
    }
    let wrong = match value {
        Value::Object(_) | Value::Array(_) => json!("broken"),
        _ => json!({"broken": true}),
    };
    parent.insert(name.to_owned(), wrong);
}

/// The policies as the API server takes them that drops what it does not know; `None` where it refuses one.
fn pruned(objects: &[Value]) -> Option<Vec<Value>> {
    let prune = |object: &Value| {
        if object["kind"] != "NetworkPolicy" {
            return Some(object.clone());
        }
        let policy: NetworkPolicy = serde_json::from_value(object.clone()).ok()?;
        serde_json::to_value(policy).ok()
    };
    objects.iter().map(prune).collect()
}

/// Everything that could be asked of a few ports between the pods and an address outside.
fn flows(inventory: &Inventory<'_>) -> Vec<Flow> {
    let outside = "198.51.100.7".parse().unwrap();
    let pods = inventory.cluster.pods().values();
    let mut addresses: Vec<_> = pods
        .flat_map(|pod| pod.addresses.clone())
        .take(12)
        .collect();
    addresses.push(outside);
    let ports = [
        FlowPort::Port(Protocol::Tcp, 80),
        FlowPort::Port(Protocol::Tcp, 5432),
        FlowPort::Port(Protocol::Udp, 53),
        FlowPort::Other,
    ];
    let pairs = addresses
        .iter()
        .flat_map(|from| addresses.iter().map(move |to| (*from, *to)));
    let pairs = pairs.filter(|(from, to)| from.is_ipv4() == to.is_ipv4());
    pairs
        .flat_map(|(from, to)| ports.map(|port| Flow { from, to, port }))
        .collect()
}

fn as_list(objects: &[Value]) -> Arc<Source> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    Arc::new(Source::new("broken.json".to_owned(), list.to_string()))
}

#[test]
fn a_broken_field_of_a_policy_admits_nothing_more() {
    let mut rng = Rng::new(20);
    let (mut broken_policies, mut judged_by_the_api) = (0, 0);
    // What the broken field closed, and what it would have opened by the API's reading.
    let (mut closed, mut kept_closed) = (0, 0);
    for case in cases() {
        let text = fs::read_to_string(case.join("cluster.yaml")).unwrap();
        let Ok(objects) = Objects::from_yaml(&text) else {
            continue;
        };
        let written = objects.written();
        let whole = read_source(&as_list(written), "default");
        let policies: Vec<usize> = (0..written.len())
            .filter(|index| written[*index]["kind"] == "NetworkPolicy")
            .collect();
        if policies.is_empty() {
            continue;
        }
        let inventory = Inventory::new(&whole, MadeUp::Nothing);
        let graph = RuleGraph::compile(&inventory.cluster);
        let asked = flows(&inventory);
        for _ in 0..BY_FIELDS {
            let mut mutant = written.to_vec();
            let policy = &mut mutant[*rng.pick(&policies)];
            let mut found = Vec::new();
            fields(&policy["spec"], "/spec", &mut found);
            if found.is_empty() {
                continue;
            }
            let pointer = rng.pick(&found).clone();
            break_field(policy, &pointer, &mut rng);
            let name = format!("{}: {pointer}", case.display());
            let read = read_source(&as_list(&mutant), "default");
            let broken = Inventory::new(&read, MadeUp::Nothing);
            let broken = RuleGraph::compile(&broken.cluster);
            let by_api = pruned(&mutant).and_then(|objects| Objects::read(objects).ok());
            let by_api = by_api.as_ref().map(Objects::reference);
            for flow in &asked {
                let before = graph.evaluate(flow).verdict;
                let by_api = by_api.as_ref().map(|by_api| by_api.evaluate(flow));
                if broken.evaluate(flow).verdict == Verdict::Allow {
                    assert_eq!(before, Verdict::Allow, "{name}: {flow}");
                    assert_ne!(by_api, Some(Verdict::Deny), "{name}: {flow}, by the API");
                } else {
                    closed += usize::from(before == Verdict::Allow);
                    kept_closed +=
                        usize::from(before == Verdict::Deny && by_api == Some(Verdict::Allow));
                }
            }
            broken_policies += 1;
            judged_by_the_api += usize::from(by_api.is_some());
        }
    }
    assert!(broken_policies > 600, "{broken_policies}");
    assert!(judged_by_the_api > 200, "{judged_by_the_api}");
    assert!(closed > 1000, "{closed}");
    assert!(kept_closed > 100, "{kept_closed}");
}
