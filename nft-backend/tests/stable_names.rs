//! A class keeps its name as long as it lasts, so that chains and sets stay where they are when other things change.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::BTreeSet;

use common::places::nodes;
use nft_backend::config::Config;
use nft_backend::names::Name;
use nft_backend::render::render;
use policy_core::RuleGraph;
use policy_core::testing::{Objects, Size, random_cluster};
use serde_json::{Value, json};

fn chains(objects: &Objects, node: &str) -> BTreeSet<Name> {
    let graph = RuleGraph::compile(&objects.cluster());
    let ruleset = render(&graph, node, &Config::default()).unwrap();
    ruleset.chains.into_keys().collect()
}

/// A pod and a policy that sort before all others.
fn stranger(node: &str) -> [Value; 2] {
    let metadata = json!({"namespace": "a", "name": "a"});
    [
        json!({"kind": "Pod", "metadata": metadata, "spec": {"nodeName": node, "containers": []},
               "status": {"podIPs": [{"ip": "10.99.99.99"}]}}),
        json!({"kind": "NetworkPolicy", "metadata": metadata,
               "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}),
    ]
}

#[test]
fn another_class_changes_no_name() {
    for (size, seeds) in [(Size::SMALL, 200), (Size::MEDIUM, 40)] {
        for seed in 0..seeds {
            let objects = random_cluster(seed, size);
            for node in nodes(&objects.cluster()) {
                let more = [objects.written(), &stranger(&node)].concat();
                let before = chains(&objects, &node);
                let after = chains(&Objects::read(more).unwrap(), &node);
                assert!(before.is_subset(&after), "seed {seed}, {node}");
                assert_eq!(after.len(), before.len() + 4, "seed {seed}, {node}");
            }
        }
    }
}
