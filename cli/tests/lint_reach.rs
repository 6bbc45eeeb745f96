//! What lint takes policies to give is what the rule graph gives, on random clusters.

use std::net::IpAddr;
use std::sync::Arc;

use nopal::lint::{Class, Input, Selection, World};
use nopal::manifest::{Source, read_source};
use policy_core::testing::{Size, random_cluster};
use policy_core::{Cluster, Direction, RuleGraph};

#[test]
fn lint_and_the_rule_graph_agree_on_what_flows_between_pods() {
    let mut compared = 0;
    for seed in 1..=200 {
        let objects = random_cluster(seed, Size::SMALL);
        let text = objects.to_json_list();
        let manifests = read_source(&Arc::new(Source::new("random".to_owned(), text)), "default");
        let world = World::new(&manifests);
        let input = Input::new(&manifests, &world, &Selection::default());
        let cluster = objects.cluster();
        let graph = RuleGraph::compile(&cluster);
        let lone: Vec<_> = input
            .reach
            .numbered()
            .filter_map(|(id, class)| Some((id, lone_address(&cluster, class)?)))
            .collect();
        for &(source, from) in &lone {
            for &(destination, to) in &lone {
                if source == destination || from.is_ipv4() != to.is_ipv4() {
                    continue;
                }
                let egress = input.reach.allowed(source, Direction::Egress, destination);
                let ingress = input.reach.allowed(destination, Direction::Ingress, source);
                let found = egress.intersection(&ingress);
                assert_eq!(
                    found,
                    graph.allowed(from, to),
                    "seed {seed}: {from} to {to}"
                );
                compared += 1;
            }
        }
    }
    assert!(
        compared > 500,
        "{compared} pairs are too few to mean something"
    );
}

/// The address of a class that is one live pod with one address that is its alone.
fn lone_address(cluster: &Cluster, class: &Class<'_>) -> Option<IpAddr> {
    let [pod] = class.pods.as_slice() else {
        return None;
    };
    let [address] = pod.addresses.as_slice() else {
        return None;
    };
    let pods = cluster.pods().values();
    let holders = pods.filter(|pod| pod.addresses.contains(address)).count();
    (!pod.finished && holders == 1).then_some(*address)
}
