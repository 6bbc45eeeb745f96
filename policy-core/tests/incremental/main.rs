//! The law of the incremental engine: after any sequence of events its graph is the one that a compiler makes from
//! scratch, and what it says to have changed is what changed.

mod changes;
mod sequences;
mod treatment;
mod ways;

use changes::take;
use policy_core::incremental::{Engine, Event, Footprint, NodeState};
use policy_core::testing::{Objects, Rng, Size, random_cluster, random_flows};
use policy_core::{Cluster, Pod, RuleGraph};
use std::collections::{BTreeMap, BTreeSet};
use treatment::{of_graph, of_state};
use ways::way;

const NODES: [&str; 2] = ["node-a", "node-b"];

/// Compares the engine and the state that its changes made with a graph made from scratch.
fn check(engine: &Engine, state: &NodeState, node: &str, context: &str) {
    let cluster = engine.cluster();
    let whole = RuleGraph::compile_node(&cluster, node);
    let minimal = whole.minimize();
    assert_eq!(
        engine.graph().to_string(),
        minimal.to_string(),
        "{context}: the graph"
    );
    assert_eq!(
        of_state(state),
        of_graph(&whole, &minimal, node),
        "{context}: what the changes made"
    );
    let is_local = |pod: &&Pod| pod.is_selectable() && pod.node.as_deref() == Some(node);
    let names = |pods: Vec<&Pod>| -> BTreeSet<String> {
        pods.into_iter().map(|pod| pod.id.to_string()).collect()
    };
    let pods = cluster.pods().values().map(AsRef::as_ref);
    assert_eq!(
        names(engine.local_pods().collect()),
        names(pods.filter(is_local).collect()),
        "{context}: the node's pods"
    );
    let contested: BTreeMap<_, _> = minimal
        .contested()
        .filter(|(_, pods)| pods.iter().any(|pod| pod.node.as_deref() == Some(node)))
        .map(|(address, pods)| (address, pods.iter().map(|pod| pod.id.clone()).collect()))
        .collect();
    assert_eq!(state.contested, contested, "{context}: contested addresses");
}

fn same_objects(left: &Cluster, right: &Cluster) {
    assert_eq!(left.nodes(), right.nodes());
    assert_eq!(left.pods(), right.pods());
    assert_eq!(left.policies(), right.policies());
    assert_eq!(left.namespaces(), right.namespaces());
}

fn clusters(seed: u64, size: Size) -> [Objects; 3] {
    [0, 1000, 2000].map(|base| random_cluster(base + seed, size))
}

/// Sizes, and how many ways are tried.
const RUNS: [(Size, u64); 2] = [(Size::SMALL, 80), (Size::MEDIUM, 8)];

fn every_way(run: impl Fn(u64, [Objects; 3], Rng)) {
    for (size, seeds) in RUNS {
        for seed in 0..seeds {
            run(seed, clusters(seed, size), Rng::new(seed));
        }
    }
}

#[test]
fn after_every_event_the_graph_is_the_one_compiled_from_scratch() {
    every_way(|seed, [from, to, detour], mut rng| {
        let [from, target, detour] = [&from, &to, &detour].map(Objects::cluster);
        let node = *rng.pick(&NODES);
        let mut engine = Engine::new(node).telling_rules();
        let mut state = NodeState::default();
        let events = way(&Cluster::default(), &from, &detour, &mut rng);
        let events: Vec<Event> = events
            .into_iter()
            .chain(way(&from, &target, &detour, &mut rng))
            .collect();
        for (number, event) in events.into_iter().enumerate() {
            let context = format!("seed {seed}, event {number}: {event:?}");
            let before = state.clone();
            let changes = engine.apply([event.clone()]);
            take(&mut state, &changes);
            assert_eq!(changes.is_empty(), state == before, "{context}");
            check(&engine, &state, node, &context);
            let again = engine.apply([event]);
            assert!(again.is_empty(), "{context}: the same again");
        }
        same_objects(&engine.cluster(), &target);
        let (engine, compiled) = (engine.graph(), RuleGraph::compile_node(&target, node));
        let compiled = compiled.minimize();
        for flow in random_flows(&to, seed, 60) {
            assert_eq!(
                engine.evaluate(&flow),
                compiled.evaluate(&flow),
                "seed {seed}"
            );
        }
    });
}

#[test]
fn a_batch_is_worth_its_events() {
    every_way(|seed, [from, to, detour], mut rng| {
        let [from, to, detour] = [&from, &to, &detour].map(Objects::cluster);
        let node = *rng.pick(&NODES);
        let (mut engine, mut lone) = (
            Engine::new(node).telling_rules(),
            Engine::new(node).telling_rules(),
        );
        let (mut state, mut lone_state) = (NodeState::default(), NodeState::default());
        let mut events = way(&Cluster::default(), &from, &detour, &mut rng);
        events.extend(way(&from, &to, &detour, &mut rng));
        let mut rest = events.as_slice();
        while !rest.is_empty() {
            let (batch, others) = rest.split_at(1 + rng.below(rest.len().min(25)));
            take(&mut state, &engine.apply(batch.iter().cloned()));
            for event in batch {
                take(&mut lone_state, &lone.apply([event.clone()]));
            }
            check(&engine, &state, node, &format!("seed {seed}"));
            assert_eq!(of_state(&state), of_state(&lone_state), "seed {seed}");
            rest = others;
        }
    });
}

#[test]
fn nothing_is_left_when_everything_is_gone() {
    every_way(|seed, [from, to, detour], mut rng| {
        let [from, to, detour] = [&from, &to, &detour].map(Objects::cluster);
        let mut engine = Engine::new("node-a");
        let mut state = NodeState::default();
        let mut events = way(&Cluster::default(), &from, &detour, &mut rng);
        events.extend(way(&from, &to, &detour, &mut rng));
        events.extend(way(&to, &Cluster::default(), &detour, &mut rng));
        for event in events {
            take(&mut state, &engine.apply([event]));
        }
        assert_eq!(engine.footprint(), Footprint::default(), "seed {seed}");
        assert_eq!(state, NodeState::default(), "seed {seed}");
        assert_eq!(engine.graph().to_string(), "");
    });
}
