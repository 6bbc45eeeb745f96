//! The law of the incremental engine: after any sequence of events its graph is the one that a compiler makes from
//! scratch, and what it says to have changed is what changed.

use policy_core::incremental::{
    Changes, Engine, Event, Footprint, NodeState, PermissionChange, PermissionKey, PermissionPeers,
    RuleChange,
};
use policy_core::rules::Rules;
use policy_core::testing::{Objects, Rng, Size, random_cluster, random_flows};
use policy_core::{
    Cluster, Direction, Isolation, Labels, Mode, Namespace, Pod, PodId, PolicyId, RuleGraph, RuleId,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

const NODES: [&str; 2] = ["node-a", "node-b"];

/// Events that make one cluster of another one, with as much noise as `rng` likes: in any order, objects of third
/// clusters in between, objects taken away and put back.
fn way(from: &Cluster, to: &Cluster, detour: &Cluster, rng: &mut Rng) -> Vec<Event> {
    let mut first = departures(from, detour);
    first.extend(arrivals(detour).into_iter().filter(|_| rng.chance(40)));
    rng.shuffle(&mut first);
    let mut second = departures(from, to);
    second.extend(departures(detour, to));
    second.extend(arrivals(to));
    rng.shuffle(&mut second);
    first.into_iter().chain(second).collect()
}

/// An event for every object of a cluster.
fn arrivals(cluster: &Cluster) -> Vec<Event> {
    let namespaces = cluster.namespaces().values().cloned();
    let namespaces = namespaces.map(Event::Namespace);
    let nodes = cluster.nodes().values().cloned().map(Event::Node);
    let pods = cluster.pods().values();
    let pods = pods.map(|pod| Event::Pod(Pod::clone(pod)));
    let policies = cluster.policies().values();
    let policies = policies.map(|policy| Event::Policy(policy.as_ref().clone()));
    namespaces
        .chain(nodes)
        .chain(pods)
        .chain(policies)
        .collect()
}

/// An event for every object of a cluster that another one has not.
fn departures(cluster: &Cluster, other: &Cluster) -> Vec<Event> {
    let namespaces = cluster.namespaces().keys();
    let namespaces = namespaces.filter(|name| !other.namespaces().contains_key(*name));
    let nodes = cluster.nodes().keys();
    let nodes = nodes.filter(|name| !other.nodes().contains_key(*name));
    let pods = cluster.pods().keys();
    let pods = pods.filter(|id| !other.pods().contains_key(id));
    let policies = cluster.policies().keys();
    let policies = policies.filter(|id| !other.policies().contains_key(id));
    let namespaces = namespaces.cloned().map(Event::NamespaceGone);
    let nodes = nodes.cloned().map(Event::NodeGone);
    let pods = pods.cloned().map(Event::PodGone);
    let policies = policies.cloned().map(Event::PolicyGone);
    namespaces
        .chain(nodes)
        .chain(pods)
        .chain(policies)
        .collect()
}

/// What a node does about one address, without the numbers of classes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Treatment {
    isolated: BTreeSet<Direction>,
    isolated_by: BTreeMap<Direction, BTreeSet<PolicyId>>,
    audited: BTreeSet<Direction>,
    permissions: BTreeMap<PermissionKey, PermissionPeers>,
    rules: BTreeMap<RuleId, BTreeMap<PermissionKey, PermissionPeers>>,
}

type Treatments = BTreeMap<IpAddr, Treatment>;

fn of_state(state: &NodeState) -> Treatments {
    let mut treatments = Treatments::new();
    for subject in state.subjects.values() {
        for &address in &subject.addresses {
            let treatment = Treatment {
                isolated: subject.isolated_by.keys().copied().collect(),
                isolated_by: subject.isolated_by.clone(),
                audited: subject.audited.clone(),
                permissions: subject.permissions.clone(),
                rules: subject.rules.clone(),
            };
            let earlier = treatments.insert(address, treatment);
            assert_eq!(earlier, None, "{address} is in two subject classes");
        }
    }
    treatments
}

/// What each rule that decides about a pod admits.
fn rules_of(
    rules: &mut Rules<'_>,
    pod: &Pod,
) -> BTreeMap<RuleId, BTreeMap<PermissionKey, PermissionPeers>> {
    let mut of_pod = BTreeMap::new();
    for direction in Direction::ALL {
        for (id, permissions) in rules.of(pod, direction) {
            let permissions = permissions.into_iter().map(|permission| {
                let key = PermissionKey {
                    direction,
                    everyone: permission.everyone,
                    ports: permission.ports,
                };
                let peers = PermissionPeers {
                    blocks: permission.blocks,
                    addresses: permission.addresses,
                };
                (key, peers)
            });
            of_pod.insert(id, permissions.collect());
        }
    }
    of_pod
}

fn of_graph(whole: &RuleGraph, minimal: &RuleGraph, node: &str) -> Treatments {
    let mut treatments = Treatments::new();
    let mut rules = minimal.rules();
    for subject in minimal.subjects() {
        let mut permissions = BTreeMap::new();
        for direction in Direction::ALL {
            for permission in subject.permissions(direction) {
                let key = PermissionKey {
                    direction,
                    everyone: permission.is_for_everyone(),
                    ports: Arc::new(permission.ports().clone()),
                };
                let pods = permission.pods();
                let peers = PermissionPeers {
                    blocks: Arc::new(permission.blocks().clone()),
                    addresses: pods.flat_map(|(_, addresses)| addresses).collect(),
                };
                assert!(permissions.insert(key, peers).is_none());
            }
        }
        let isolated = Direction::ALL.into_iter();
        let isolated = isolated.filter(|&direction| subject.is_isolated(direction));
        let audited = Direction::ALL.into_iter();
        let audited =
            audited.filter(|&direction| subject.isolation(direction) == Isolation::Audited);
        let treatment = Treatment {
            isolated: isolated.collect(),
            isolated_by: BTreeMap::new(),
            audited: audited.collect(),
            permissions,
            rules: BTreeMap::new(),
        };
        for pod in subject.pods() {
            if pod.node.as_deref() == Some(node) {
                let treatment = Treatment {
                    rules: rules_of(&mut rules, pod),
                    ..treatment.clone()
                };
                let addresses = minimal.addresses(pod).into_iter();
                treatments.extend(addresses.map(|address| (address, treatment.clone())));
            }
        }
    }
    // Minimizing merges classes that different policies isolate; the whole graph tells whose policies are whose.
    for subject in whole.subjects() {
        for address in subject.pods().iter().flat_map(|pod| whole.addresses(pod)) {
            let Some(treatment) = treatments.get_mut(&address) else {
                continue;
            };
            for &direction in &treatment.isolated {
                let policies = subject.policies(direction).into_iter().cloned();
                treatment.isolated_by.insert(direction, policies.collect());
            }
        }
    }
    treatments
}

/// Makes sure that each change of permissions is one.
fn are_changes(
    before: &BTreeMap<PermissionKey, PermissionPeers>,
    changes: &BTreeMap<PermissionKey, PermissionChange>,
) {
    for (key, change) in changes {
        let before = before.get(key);
        match change {
            PermissionChange::Appeared(_) => assert_eq!(before, None),
            PermissionChange::Vanished => assert!(before.is_some()),
            PermissionChange::Changed {
                blocks,
                added,
                removed,
            } => {
                let before = before.expect("a changed permission was there");
                assert_ne!(blocks.as_ref(), Some(&before.blocks));
                assert!(before.addresses.is_disjoint(added));
                assert!(before.addresses.is_superset(removed));
                assert!(blocks.is_some() || !added.is_empty() || !removed.is_empty());
            }
        }
    }
}

/// Takes changes over, and makes sure that each of them is one.
fn take(state: &mut NodeState, changes: &Changes) {
    for id in &changes.vanished {
        assert!(state.subjects.contains_key(id), "{id:?} vanished before");
        assert!(!changes.subjects.contains_key(id));
    }
    for (id, change) in &changes.subjects {
        let before = state.subjects.get(id);
        assert_eq!(change.appeared, before.is_none(), "{id:?}");
        let before = before.cloned().unwrap_or_default();
        assert!(before.addresses.is_disjoint(&change.added));
        assert!(before.addresses.is_superset(&change.removed));
        for (direction, policies) in &change.isolated_by {
            let earlier = before.isolated_by.get(direction).cloned();
            assert_ne!(&earlier.unwrap_or_default(), policies);
        }
        for (direction, is_audited) in &change.audited {
            assert_ne!(before.audited.contains(direction), *is_audited);
        }
        are_changes(&before.permissions, &change.permissions);
        for (id, change) in &change.rules {
            let before = before.rules.get(id);
            match change {
                RuleChange::Gone => assert!(before.is_some(), "{id}"),
                RuleChange::There(changes) => {
                    assert!(before.is_none() || !changes.is_empty(), "{id}");
                    are_changes(&before.cloned().unwrap_or_default(), changes);
                }
            }
        }
        let mut after = NodeState::default();
        after.subjects.insert(*id, before.clone());
        let lone = Changes {
            subjects: BTreeMap::from([(*id, change.clone())]),
            ..Changes::default()
        };
        after.take(&lone);
        assert!(change.appeared || after.subjects[id] != before, "{id:?}");
    }
    for (address, claimants) in &changes.contested {
        assert_ne!(state.contested.get(address), claimants.as_ref());
    }
    state.take(changes);
}

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

/// A pod on node-a, or elsewhere.
fn pod(name: &str, node: &str, address: &str, http: u16) -> Value {
    json!({
        "kind": "Pod",
        "metadata": { "namespace": "shop", "name": name, "labels": { "app": name } },
        "spec": {
            "nodeName": node,
            "containers": [{ "name": "c", "ports": [{ "name": "http", "containerPort": http }] }],
        },
        "status": { "podIPs": [{ "ip": address }] },
    })
}

fn policy(name: &str, selected: &str, direction: &str, rule: &Value) -> Value {
    json!({
        "kind": "NetworkPolicy",
        "metadata": { "namespace": "shop", "name": name },
        "spec": {
            "podSelector": { "matchLabels": { "app": selected } },
            "policyTypes": [direction],
            direction.to_lowercase(): [rule],
        },
    })
}

/// The events that make these objects what they are; namespaces come with the objects.
fn events(objects: Vec<Value>) -> Vec<Event> {
    let mut events = arrivals(
        &Objects::read(objects)
            .expect("objects of the API's shape")
            .cluster(),
    );
    events.retain(|event| !matches!(event, Event::Namespace(..)));
    events
}

fn gone(name: &str) -> Event {
    Event::PodGone(PodId::new("shop", name))
}

#[test]
fn a_port_name_towards_a_block_follows_the_pods_that_are_in_it() {
    let rule = json!({
        "to": [{ "ipBlock": { "cidr": "10.0.1.0/24" } }],
        "ports": [{ "port": "http" }],
    });
    let mut engine = Engine::new("node-a").telling_rules();
    let mut state = NodeState::default();
    let steps = [
        events(vec![
            pod("web", "node-a", "10.0.0.1", 80),
            policy("out", "web", "Egress", &rule),
        ]),
        events(vec![pod("one", "node-b", "10.0.1.1", 8080)]),
        events(vec![pod("two", "node-b", "10.0.1.2", 8081)]),
        events(vec![pod("one", "node-b", "10.0.1.1", 8081)]),
        events(vec![pod("three", "node-b", "10.0.1.2", 8080)]),
        vec![gone("two")],
        events(vec![pod("one", "node-b", "10.0.2.1", 8081)]),
        vec![gone("three")],
    ];
    for (number, step) in steps.into_iter().enumerate() {
        let changes = engine.apply(step);
        assert!(!changes.is_empty(), "step {number}");
        take(&mut state, &changes);
        check(&engine, &state, "node-a", &format!("step {number}"));
    }
}

#[test]
fn a_class_keeps_its_number_and_only_what_is_new_is_listed() {
    let from = |name: &str, port: u16| {
        json!({
            "from": [{ "podSelector": { "matchLabels": { "app": name } } }],
            "ports": [{ "port": port }],
        })
    };
    let mut engine = Engine::new("node-a").telling_rules();
    let first = engine.apply(events(vec![
        pod("web", "node-a", "10.0.0.1", 80),
        pod("one", "node-b", "10.0.1.1", 80),
        policy("first", "web", "Ingress", &from("one", 80)),
    ]));
    let [(&id, change)] = first.subjects.iter().collect::<Vec<_>>()[..] else {
        panic!("one subject class: {first:?}");
    };
    assert!(change.appeared);

    // Nobody here has to do with that pod.
    let unrelated = engine.apply(events(vec![pod("two", "node-b", "10.0.1.2", 80)]));
    assert!(unrelated.is_empty(), "{unrelated:?}");

    // A policy with another selector makes it another class, of the same pods.
    let mut second = policy("second", "web", "Ingress", &from("two", 81));
    second["spec"]["podSelector"] = json!({});
    let added = engine.apply(events(vec![second]));
    let change = &added.subjects[&id];
    assert!(added.vanished.is_empty() && !change.appeared);
    assert_eq!(change.permissions.len(), 1);
    let (key, appeared) = change.permissions.first_key_value().unwrap();
    assert_eq!(key.ports.to_string(), "TCP 81");
    assert!(matches!(appeared, PermissionChange::Appeared(_)));

    let moved = engine.apply(events(vec![pod("one", "node-b", "10.0.1.9", 80)]));
    let changed = PermissionChange::Changed {
        blocks: None,
        added: BTreeSet::from(["10.0.1.9".parse().unwrap()]),
        removed: BTreeSet::from(["10.0.1.1".parse().unwrap()]),
    };
    let permissions: Vec<_> = moved.subjects[&id].permissions.values().collect();
    assert_eq!(permissions, [&changed]);
}

#[test]
fn a_namespace_that_changes_its_mode_takes_its_policies_that_state_none_along() {
    // Other rules, so that the two pods are never one subject.
    let rule = json!({ "from": [{ "podSelector": {} }] });
    let mut stated = policy(
        "stated",
        "db",
        "Ingress",
        &json!({ "ports": [{ "port": 80 }] }),
    );
    stated["metadata"]["annotations"] = json!({ "nopal.dev/mode": "enforce" });
    let mut engine = Engine::new("node-a");
    engine.apply(events(vec![
        pod("web", "node-a", "10.0.1.10", 80),
        pod("db", "node-a", "10.0.1.11", 80),
        policy("silent", "web", "Ingress", &rule),
        stated,
    ]));
    let namespace = |mode| {
        Event::Namespace(Namespace {
            name: "shop".into(),
            labels: Labels::default(),
            mode,
        })
    };
    let isolations = |engine: &Engine| -> Vec<(String, Isolation)> {
        let graph = engine.graph();
        let subjects = graph.subjects().map(|subject| {
            let pods = subject.pods();
            let pods: Vec<String> = pods.iter().map(|pod| pod.id.to_string()).collect();
            (pods.join(" "), subject.isolation(Direction::Ingress))
        });
        let mut isolations: Vec<_> = subjects.collect();
        isolations.sort();
        isolations
    };
    let one = |web| {
        vec![
            ("shop/db".to_owned(), Isolation::Enforced),
            ("shop/web".to_owned(), web),
        ]
    };
    assert_eq!(isolations(&engine), one(Isolation::Enforced));
    let changes = engine.apply([namespace(Mode::Audit)]);
    assert!(!changes.subjects.is_empty());
    assert_eq!(isolations(&engine), one(Isolation::Audited));
    assert_eq!(engine.apply([namespace(Mode::Audit)]), Changes::default());
    engine.apply([Event::NamespaceGone("shop".into())]);
    assert_eq!(isolations(&engine), one(Isolation::Enforced));
    engine.apply([namespace(Mode::Audit)]);
    engine.apply([namespace(Mode::Enforce)]);
    assert_eq!(isolations(&engine), one(Isolation::Enforced));
}
