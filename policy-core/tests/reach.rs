//! What may flow between kinds of pods is what may flow between each two pods of them.

use policy_core::reach::{PortTable, Reach};
use policy_core::testing::{Objects, Size, random_cluster};
use policy_core::{Pod, PortSet, RuleGraph};

/// Asked pod by pod, address by address.
fn between(graph: &RuleGraph, from: &Pod, to: &Pod) -> PortSet {
    let mut allowed = PortSet::empty();
    for source in &from.addresses {
        for target in &to.addresses {
            if source.is_ipv4() == target.is_ipv4() {
                allowed = allowed.union(&graph.allowed(*source, *target));
            }
        }
    }
    allowed
}

fn compare(objects: &Objects, seed: u64) -> usize {
    let cluster = objects.cluster();
    let live = cluster.pods().values().filter(|pod| !pod.finished);
    let pods: Vec<&Pod> = live.map(AsRef::as_ref).collect();
    let graph = RuleGraph::compile(&cluster);
    let mut table = PortTable::new();
    let mut compared = 0;
    for graph in [&graph, &graph.minimize()] {
        let reach = Reach::new(graph, &pods, &mut table);
        for (a, from) in pods.iter().enumerate() {
            for (b, to) in pods.iter().enumerate() {
                let expected = between(graph, from, to);
                if a == b || graph.is_near(from, to) {
                    let shares = from.addresses.is_empty() || expected.is_all();
                    assert!(shares, "seed {seed}: {} and {}", from.id, to.id);
                    continue;
                }
                let found = reach.between(reach.kind(a), reach.kind(b), &mut table);
                let found = table.ports(found);
                assert_eq!(found, &expected, "seed {seed}: {} to {}", from.id, to.id);
                compared += 1;
            }
        }
    }
    compared
}

#[test]
fn kinds_answer_as_their_pods_do() {
    let mut compared = 0;
    for (size, seeds) in [(Size::SMALL, 200), (Size::MEDIUM, 20)] {
        for seed in 0..seeds {
            compared += compare(&random_cluster(seed, size), seed);
        }
    }
    assert!(compared > 10_000, "only {compared} pairs");
}
