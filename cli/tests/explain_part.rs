//! `nopal explain` lowers only the policies that can decide. It says what it would say by all of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use nopal::args::Format;
use nopal::explain::explain;
use nopal::inventory::{Inventory, MadeUp};
use nopal::manifest::{Manifests, Source, read_source};
use nopal::report::explanation::explanation;
use policy_core::testing::{Objects, Size, random_cluster, random_flows};
use policy_core::{Flow, FlowPort};
use serde_json::{Value, json};

/// How many clusters are made, and how many flows of each are explained.
const CLUSTERS: u64 = 60;
const FLOWS: usize = 12;

/// The cluster as a file holds it. Which address a pod without one would get hangs on all policies, so most clusters here
/// have no such pod.
fn manifests(objects: &Objects, only_with_address: bool) -> Manifests {
    let has_address = |object: &&Value| {
        let addresses = object["status"]["podIPs"].as_array();
        object["kind"] != "Pod" || addresses.is_some_and(|addresses| !addresses.is_empty())
    };
    let written = objects.written().iter();
    let items: Vec<&Value> = written
        .filter(|object| !only_with_address || has_address(object))
        .collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
    let source = Source::new("in".to_owned(), list.to_string());
    read_source(&Arc::new(source), "default")
}

fn said(manifests: &Manifests, of: &Inventory<'_>, ends: (&str, &str), port: FlowPort) -> String {
    match explain(of, ends, port, None) {
        Ok(explained) => explanation(&explained, of, &manifests.errors, Format::Json),
        Err(error) => error.to_string(),
    }
}

/// The ends as addresses and, where pods have them, by name.
fn names(whole: &Inventory<'_>, flow: &Flow) -> [[String; 2]; 2] {
    let name = |address| {
        let mut pods = whole.cluster.pods().values();
        let pod = pods.find(|pod| pod.addresses.contains(address));
        pod.map_or_else(|| address.to_string(), |pod| pod.id.to_string())
    };
    [
        [flow.from.to_string(), flow.to.to_string()],
        [name(&flow.from), name(&flow.to)],
    ]
}

#[test]
fn a_part_of_the_policies_explains_as_all_of_them_do() {
    let mut lowered_less = 0;
    for seed in 0..CLUSTERS {
        let objects = random_cluster(seed, Size::MEDIUM);
        let manifests = manifests(&objects, !seed.is_multiple_of(4));
        let whole = Inventory::new(&manifests, MadeUp::Addresses);
        for flow in random_flows(&objects, seed, FLOWS) {
            for [from, to] in names(&whole, &flow) {
                let part = Inventory::of_ends(&manifests, [&from, &to]);
                assert_eq!(
                    said(&manifests, &part, (&from, &to), flow.port),
                    said(&manifests, &whole, (&from, &to), flow.port),
                    "cluster {seed}, {from} to {to}"
                );
                let (some, all) = (part.cluster.policies(), whole.cluster.policies());
                lowered_less += usize::from(some.len() < all.len());
            }
        }
    }
    assert!(lowered_less > 100, "only {lowered_less} with a part");
}
