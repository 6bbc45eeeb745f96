//! Single sequences of events, and what is to be heard of them.

use crate::changes::take;
use crate::check;
use crate::ways::arrivals;
use policy_core::incremental::{Changes, Engine, Event, NodeState, PermissionChange};
use policy_core::testing::Objects;
use policy_core::{Direction, Isolation, Labels, Mode, Namespace, PodId};
use serde_json::{Value, json};
use std::collections::BTreeSet;

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
