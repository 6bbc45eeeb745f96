//! The law of single rules: those that admit a flow are the ones that the reference evaluator names, in a minimal graph as
//! in one that is not.

use policy_core::rules::{RulePermission, Rules};
use policy_core::testing::{Size, random_cluster, random_flows};
use policy_core::{Cluster, Direction, Flow, Pod, RuleGraph, Verdict};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The live pod with this address, where just one has it.
fn pod_at<'c>(cluster: &'c Cluster, graph: &RuleGraph, address: IpAddr) -> Option<&'c Pod> {
    let mut pods = cluster.pods().values();
    let pod = pods.find(|pod| graph.addresses(pod).contains(&address));
    pod.map(AsRef::as_ref)
}

fn admits(permission: &RulePermission, peer: IpAddr, flow: &Flow) -> bool {
    let is_peer = permission.everyone
        || permission.blocks.contains(peer)
        || permission.addresses.contains(&peer);
    is_peer && permission.ports.contains(flow.port)
}

/// The rules that admit a flow at one of its ends.
fn admitting(
    rules: &mut Rules<'_>,
    pod: &Pod,
    direction: Direction,
    flow: &Flow,
) -> BTreeSet<String> {
    let peer = match direction {
        Direction::Egress => flow.to,
        Direction::Ingress => flow.from,
    };
    let of_pod = rules.of(pod, direction).into_iter();
    let admitting = of_pod.filter(|(_, permissions)| {
        let mut parts = permissions.iter();
        parts.any(|permission| admits(permission, peer, flow))
    });
    admitting.map(|(id, _)| id.to_string()).collect()
}

#[test]
fn the_rules_that_admit_a_flow_are_those_that_the_reference_names() {
    let (mut by_one, mut by_several, mut denied_ends) = (0, 0, 0);
    for (size, seeds) in [(Size::SMALL, 150), (Size::MEDIUM, 10)] {
        for seed in 0..seeds {
            let objects = random_cluster(seed, size);
            let (cluster, reference) = (objects.cluster(), objects.reference());
            let whole = RuleGraph::compile(&cluster);
            let minimal = whole.minimize();
            let (mut rules, mut of_minimal) = (whole.rules(), minimal.rules());
            for flow in random_flows(&objects, seed, 60) {
                let because = reference.because(&flow);
                let is_apart = |reason: &String| {
                    reason.starts_with("own ") || reason.contains(" is claimed by ")
                };
                if because.iter().any(is_apart) {
                    continue;
                }
                let mut found = BTreeSet::new();
                for direction in Direction::ALL {
                    let end = match direction {
                        Direction::Egress => flow.from,
                        Direction::Ingress => flow.to,
                    };
                    let Some(pod) = pod_at(&cluster, &whole, end) else {
                        continue;
                    };
                    let here = admitting(&mut rules, pod, direction, &flow);
                    let in_minimal = admitting(&mut of_minimal, pod, direction, &flow);
                    assert_eq!(here, in_minimal, "seed {seed}: {flow}");
                    let denies = format!(" isolates {direction}");
                    if because.iter().any(|reason| reason.ends_with(&denies)) {
                        assert_eq!(here, BTreeSet::new(), "seed {seed}: {flow}");
                        denied_ends += 1;
                    }
                    found.extend(here);
                }
                if reference.evaluate(&flow) == Verdict::Deny {
                    continue;
                }
                let named: BTreeSet<String> = because
                    .into_iter()
                    .filter(|reason| reason.ends_with(']'))
                    .collect();
                assert_eq!(found, named, "seed {seed}: {flow}");
                match found.len() {
                    0 => {}
                    1 => by_one += 1,
                    _ => by_several += 1,
                }
            }
        }
    }
    assert!(
        by_one > 200 && by_several > 100 && denied_ends > 200,
        "{by_one} flows are admitted by one rule, {by_several} by several, {denied_ends} ends admit nothing"
    );
}
