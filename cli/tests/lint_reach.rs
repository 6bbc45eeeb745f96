//! What lint takes policies to give is what the rule graph gives when all of them are enforced, on random clusters.

use std::net::IpAddr;
use std::sync::Arc;

use nopal::lint::{Class, Input, Selection, World};
use nopal::manifest::{Source, read_source};
use policy_core::testing::{Size, random_cluster};
use policy_core::{Cluster, Direction, RuleGraph};

#[test]
fn lint_and_the_rule_graph_agree_on_what_flows_between_pods() {
    let (mut compared, mut exactly) = (0, 0);
    for seed in 1..=200 {
        let objects = random_cluster(seed, Size::SMALL);
        let text = objects.to_json_list();
        let manifests = read_source(&Arc::new(Source::new("random".to_owned(), text)), "default");
        let world = World::new(&manifests);
        let input = Input::new(&manifests, &world, &Selection::default());
        let cluster = objects.cluster();
        let graph = RuleGraph::compile(&cluster);
        let classes: Vec<_> = input
            .reach
            .numbered()
            .filter_map(|(id, class)| Some((id, own_addresses(&cluster, class)?)))
            .collect();
        for (source, from) in &classes {
            for (destination, to) in &classes {
                if source == destination {
                    continue;
                }
                let egress = input
                    .reach
                    .allowed(*source, Direction::Egress, *destination);
                let ingress = input
                    .reach
                    .allowed(*destination, Direction::Ingress, *source);
                let found = egress.intersection(&ingress);
                for (from, to) in pairs(from, to) {
                    let allowed = graph.admitted(from, to);
                    assert!(found.contains_all(&allowed), "seed {seed}: {from} to {to}");
                    compared += 1;
                }
                if let ([from], [to]) = (from, to)
                    && from.is_ipv4() == to.is_ipv4()
                {
                    assert_eq!(
                        found,
                        graph.admitted(*from, *to),
                        "seed {seed}: {from} to {to}"
                    );
                    exactly += 1;
                }
            }
        }
    }
    assert!(
        compared > 1000,
        "{compared} pairs are too few to mean something"
    );
    assert!(
        exactly > 50,
        "{exactly} pairs are too few to mean something"
    );
}

/// The pairs of one family.
fn pairs(from: &[IpAddr], to: &[IpAddr]) -> Vec<(IpAddr, IpAddr)> {
    let pairs = from
        .iter()
        .flat_map(|from| to.iter().map(move |to| (*from, *to)));
    pairs
        .filter(|(from, to)| from.is_ipv4() == to.is_ipv4())
        .collect()
}

/// The addresses of a class that is one live pod, if they are its alone. Of a pod with several, lint takes a block for a
/// peer where any of them is in it.
fn own_addresses<'w>(cluster: &Cluster, class: &Class<'w>) -> Option<&'w [IpAddr]> {
    let [pod] = class.pods.as_slice() else {
        return None;
    };
    let is_own = |address: &IpAddr| {
        let pods = cluster.pods().values();
        pods.filter(|pod| pod.addresses.contains(address)).count() == 1
    };
    let has_own = !pod.addresses.is_empty() && pod.addresses.iter().all(is_own);
    (!pod.finished && has_own).then_some(pod.addresses.as_slice())
}
