//! What `explain` proposes for a flow that is denied or only audited admits that flow, and what it proposes for one that
//! is allowed denies it, on random clusters.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use nopal::closing::{Closing, Part, closings};
use nopal::remedy::{Remedy, remedies};
use policy_core::policy::{Peers, Ports, Rule};
use policy_core::testing::{Size, random_cluster, random_flows};
use policy_core::{Because, Cluster, Direction, RuleGraph, Verdict, lower};
use serde_json::json;

#[test]
fn the_smallest_change_admits_the_flow() {
    let (mut denied, mut audited) = (0, 0);
    for seed in 1..=30 {
        let objects = random_cluster(seed, Size::SMALL);
        let cluster = objects.cluster();
        let graph = RuleGraph::compile(&cluster);
        for flow in random_flows(&objects, seed, 60) {
            let decision = graph.evaluate(&flow);
            let remedies = remedies(&cluster, &flow, &decision);
            let is_contested = decision
                .because
                .iter()
                .any(|because| matches!(because, Because::Contested { .. }));
            if is_contested || decision.verdict == Verdict::Allow && !decision.is_audited() {
                assert_eq!(remedies, [], "seed {seed}: {flow}");
                continue;
            }
            match decision.verdict {
                Verdict::Deny => denied += 1,
                Verdict::Allow => audited += 1,
            }
            let changed = RuleGraph::compile(&with(&cluster, &remedies));
            let now = changed.evaluate(&flow);
            let context = format!("seed {seed}: {flow}: {remedies:?}");
            assert_eq!(now.verdict, Verdict::Allow, "{context}");
            // What a denied flow's other end only audits is no matter of its remedy.
            if decision.verdict == Verdict::Allow {
                assert!(!now.is_audited(), "{context}");
            }
        }
    }
    assert!(
        denied > 100 && audited > 30,
        "{denied} flows were denied, {audited} audited"
    );
}

/// The cluster with the rules added, read as the API would write them.
fn with(cluster: &Cluster, remedies: &[Remedy]) -> Cluster {
    let mut changed = cluster.clone();
    for remedy in remedies {
        let direction = remedy.direction.to_string();
        let object = serde_json::from_value(json!({
            "spec": { "podSelector": {}, "policyTypes": ["Ingress", "Egress"], direction: [remedy.rule] },
        }));
        let (read, _) = lower::policy(&object.unwrap(), &[]);
        let mut policy = changed.policies()[&remedy.policy].as_ref().clone();
        match remedy.direction {
            Direction::Ingress => policy.ingress.extend(read.ingress),
            Direction::Egress => policy.egress.extend(read.egress),
        }
        changed.insert_policy(policy);
    }
    changed
}

#[test]
fn the_smallest_change_denies_the_flow() {
    let (mut removed, mut narrowed, mut isolated, mut none) = (0, 0, 0, 0);
    for seed in 1..=45 {
        let objects = random_cluster(seed, Size::SMALL);
        let cluster = objects.cluster();
        let graph = RuleGraph::compile(&cluster);
        for flow in random_flows(&objects, seed, 60) {
            let decision = graph.evaluate(&flow);
            let steps = closings(&cluster, &graph, &flow, &decision);
            let narrow = RuleGraph::compile(&cluster.between(&[flow.from, flow.to]));
            assert_eq!(closings(&cluster, &narrow, &flow, &decision), steps);
            if decision.verdict == Verdict::Deny || decision.is_audited() {
                assert_eq!(steps, [], "seed {seed}: {flow}");
                continue;
            }
            if steps.is_empty() {
                none += 1;
                continue;
            }
            for step in &steps {
                match step {
                    Closing::Remove {
                        part: Part::Whole, ..
                    } => removed += 1,
                    Closing::Remove { .. } => narrowed += 1,
                    Closing::Isolate { .. } => isolated += 1,
                }
            }
            let now = RuleGraph::compile(&closed(&cluster, &steps)).evaluate(&flow);
            assert_eq!(now.verdict, Verdict::Deny, "seed {seed}: {flow}: {steps:?}");
        }
    }
    let counts = [removed, narrowed, isolated, none];
    assert!(counts.iter().all(|count| *count > 5), "{counts:?}");
}

/// The cluster after these steps, the last parts first so that positions stay what they are.
fn closed(cluster: &Cluster, steps: &[Closing]) -> Cluster {
    let mut changed = cluster.clone();
    let mut cuts = Vec::new();
    for step in steps {
        match step {
            Closing::Isolate { policy, .. } => {
                let object = serde_json::from_value(policy.clone()).unwrap();
                changed.insert_policy(lower::policy(&object, &[]).0);
            }
            Closing::Remove {
                policy,
                direction,
                rule,
                part,
            } => {
                cuts.push((policy, *direction, *rule as usize, *part));
            }
        }
    }
    cuts.sort_by(|one, other| other.cmp(one));
    for (id, direction, rule, part) in cuts {
        let mut policy = changed.policies()[id].as_ref().clone();
        let rules = match direction {
            Direction::Ingress => &mut policy.ingress,
            Direction::Egress => &mut policy.egress,
        };
        match (part, &mut rules[rule]) {
            (Part::Whole, _) => drop(rules.remove(rule)),
            (
                Part::Peer(index),
                Rule::Allow {
                    peers: Peers::Listed(peers),
                    ..
                },
            ) => {
                peers.remove(index);
            }
            (
                Part::Port(index),
                Rule::Allow {
                    ports: Ports::Listed(ports),
                    ..
                },
            ) => {
                ports.remove(index);
            }
            _ => panic!("no such part: {part:?}"),
        }
        changed.insert_policy(policy);
    }
    changed
}
