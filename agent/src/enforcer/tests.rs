//! The enforcer with a fake kernel.

use super::*;
use crate::held::Held;
use crate::kind::Kind;
use crate::topology::Holder;
use crate::watch::{Change, Identity, Trouble};
use nft_backend::config::Config;
use nft_backend::generation::MarkBits;
use nft_backend::kernel::{ApplyError, Kernel};
use policy_core::{Node, PodId, lower};
use serde_json::{Value, json};

fn change(event: Event) -> Change {
    Change {
        event: Some(event),
        version: 1,
        identity: Identity::default(),
        trouble: Trouble::None,
    }
}

fn batch(kind: Kind, events: Vec<Event>) -> Batch {
    Batch {
        kind,
        changes: events.into_iter().map(change).collect(),
        is_complete: true,
        received: Instant::now(),
        ticket: 0,
    }
}

fn pod(name: &str, address: &str) -> Event {
    let object = json!({
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {"nodeName": "node-a", "containers": []},
        "status": {"podIPs": [{"ip": address}]},
    });
    Event::Pod(lower::pod(&serde_json::from_value(object).unwrap()).0)
}

fn policy(name: &str, spec: &Value) -> Event {
    let object = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
    Event::Policy(lower::policy(&serde_json::from_value(object).unwrap(), &[]).0)
}

fn enforcer() -> (Enforcer<Held, Held>, Shared, Held) {
    enforcer_of(Config::default())
}

fn enforcer_of(config: Config) -> (Enforcer<Held, Held>, Shared, Held) {
    let held = Held::default();
    let (kernel, notices) = (held.clone(), held.clone());
    let dataplane = Dataplane::new("node-a", config, kernel, notices).unwrap();
    let shared = Shared::new("node-a");
    let enforcer = Enforcer::new("node-a", dataplane, shared.clone());
    (enforcer, shared, held)
}

fn refused() -> ApplyError {
    ApplyError::Refused {
        stderr: "no".to_owned(),
    }
}

#[test]
fn the_first_sync_loads_and_later_ones_change_what_differs() {
    let (mut enforcer, shared, _) = enforcer();
    assert!(!shared.is_ready());
    let deny = policy("deny", &json!({"podSelector": {}}));
    let batches = vec![
        batch(Kind::Pods, vec![pod("web", "10.0.0.1")]),
        batch(Kind::Policies, vec![deny.clone()]),
    ];
    assert_eq!(enforcer.sync(batches).unwrap(), Update::Load);
    assert!(shared.is_ready());
    let same = vec![batch(Kind::Policies, vec![deny])];
    assert_eq!(enforcer.sync(same).unwrap(), Update::Nothing);
    let another = vec![batch(Kind::Pods, vec![pod("db", "10.0.0.2")])];
    assert_eq!(enforcer.sync(another).unwrap(), Update::Increment);
    assert_eq!(shared.document()["counts"]["pods"], 2);
}

#[test]
fn marks_are_cleared_after_the_change_before_the_one_that_needs_it() {
    let marks = MarkBits::from_mask(0x70).ok();
    let config = Config {
        marks,
        ..Config::default()
    };
    let (mut enforcer, _, held) = enforcer_of(config);
    let cleared = || held.kernel(|kernel| kernel.cleared().len());
    let generation = || {
        let in_force = held.outline(&Config::default().table).unwrap().unwrap();
        in_force.generation().unwrap().1.to_string()
    };
    let pods = [
        pod("a", "10.0.0.1"),
        pod("b", "10.0.0.2"),
        pod("c", "10.0.0.3"),
    ];
    enforcer
        .sync(vec![batch(Kind::Pods, pods.to_vec())])
        .unwrap();
    let at_first = cleared();
    let mut isolate = |name: &str| {
        let event = policy(
            name,
            &json!({"podSelector": {"matchLabels": {"app": name}}}),
        );
        enforcer
            .sync(vec![batch(Kind::Policies, vec![event])])
            .unwrap();
        (generation(), cleared() - at_first)
    };
    assert_eq!(isolate("a"), ("2".to_owned(), 0));
    assert_eq!(isolate("b"), ("3".to_owned(), 1));
    assert_eq!(isolate("c"), ("4".to_owned(), 1));
}

#[test]
fn the_rules_in_force_are_told_where_packets_are_counted_for_them() {
    let spec = json!({"podSelector": {}, "ingress": [
        {"ports": [{"port": 80}]},
        {"from": [{"podSelector": {"matchLabels": {"app": "nobody"}}}]},
    ]});
    for rule_counters in [false, true] {
        let config = Config {
            rule_counters,
            ..Config::default()
        };
        let (mut enforcer, shared, _) = enforcer_of(config);
        let batches = vec![
            batch(Kind::Pods, vec![pod("web", "10.0.0.1")]),
            batch(Kind::Policies, vec![policy("both", &spec)]),
        ];
        enforcer.sync(batches).unwrap();
        let rules = shared.counted_rules();
        let names: Vec<String> = rules.iter().map(ToString::to_string).collect();
        let expected: &[&str] = if rule_counters {
            &["shop/both ingress[0]", "shop/both ingress[1]"]
        } else {
            &[]
        };
        assert_eq!(names, expected);
        let gone = Event::PodGone(PodId::new("shop", "web"));
        enforcer.sync(vec![batch(Kind::Pods, vec![gone])]).unwrap();
        assert!(shared.counted_rules().is_empty());
    }
}

#[test]
fn what_failed_is_put_in_force_by_a_later_sync_without_events() {
    let (mut enforcer, shared, held) = enforcer();
    enforcer
        .sync(vec![batch(Kind::Pods, vec![pod("web", "10.0.0.1")])])
        .unwrap();
    held.kernel(|kernel| kernel.fail(1, refused()));
    let deny = policy("deny", &json!({"podSelector": {}}));
    let error = enforcer
        .sync(vec![batch(Kind::Policies, vec![deny])])
        .unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    assert_eq!(shared.document()["inForce"]["policies"], json!({}));
    assert!(shared.document()["error"].is_string());
    assert_ne!(enforcer.sync(Vec::new()).unwrap(), Update::Nothing);
    assert!(shared.document()["error"].is_null());
    assert_eq!(shared.document()["inForce"]["newest"]["policies"], 1);
}

#[test]
fn a_node_that_the_cluster_does_not_have_is_told() {
    let (mut enforcer, shared, _) = enforcer();
    let problem = || shared.document()["inForce"]["problems"]["Node node-a"].clone();
    let node = |name: &str| Node {
        name: name.into(),
        addresses: vec![],
    };
    let sync = |enforcer: &mut Enforcer<_, _>, event| {
        enforcer
            .sync(vec![batch(Kind::Nodes, vec![event])])
            .unwrap();
    };
    sync(&mut enforcer, Event::Node(node("node-b")));
    assert!(problem()[0].as_str().unwrap().contains("--node"));
    sync(&mut enforcer, Event::Node(node("node-a")));
    assert!(problem().is_null());
    sync(&mut enforcer, Event::NodeGone("node-a".into()));
    assert!(problem().is_array());
}

#[test]
fn what_failed_is_put_in_force_by_a_look_too() {
    let (mut enforcer, shared, held) = enforcer();
    enforcer
        .sync(vec![batch(Kind::Pods, vec![pod("web", "10.0.0.1")])])
        .unwrap();
    held.kernel(|kernel| kernel.fail(1, refused()));
    let deny = policy("deny", &json!({"podSelector": {}}));
    enforcer
        .sync(vec![batch(Kind::Policies, vec![deny])])
        .unwrap_err();
    assert!(enforcer.due().is_some());
    let handled = enforcer.look().unwrap();
    assert!(matches!(handled, Handled::Updated(_)), "{handled:?}");
    assert!(shared.document()["error"].is_null());
    assert_eq!(shared.document()["inForce"]["newest"]["policies"], 1);
    assert_eq!(enforcer.due(), None);
}

#[test]
fn a_table_that_somebody_deleted_is_made_again() {
    let (mut enforcer, shared, held) = enforcer();
    enforcer
        .sync(vec![batch(Kind::Pods, vec![pod("web", "10.0.0.1")])])
        .unwrap();
    let in_force = || held.list(&Config::default().table).unwrap();
    let before = in_force();
    assert_eq!(enforcer.look().unwrap(), Handled::Quiet);
    assert_eq!(enforcer.verify().unwrap(), Handled::Intact);
    held.lose_all(true);
    assert!(matches!(enforcer.look().unwrap(), Handled::Repaired(_)));
    assert_eq!(in_force(), before);
    held.lose_all(false);
    assert_eq!(enforcer.look().unwrap(), Handled::Quiet);
    assert!(matches!(enforcer.verify().unwrap(), Handled::Repaired(_)));
    assert_eq!(in_force(), before);
    let text = shared.metrics().text();
    assert!(text.contains("nopal_drift_repairs_total 2"), "{text}");
}

#[test]
fn a_table_whose_repair_has_to_wait_is_not_told_as_in_force() {
    let (mut enforcer, shared, held) = enforcer();
    let pods = |name, address| vec![batch(Kind::Pods, vec![pod(name, address)])];
    enforcer.sync(pods("web", "10.0.0.1")).unwrap();
    let until = loop {
        assert!(shared.document()["error"].is_null());
        held.lose_all(true);
        if let Handled::Postponed { until } = enforcer.look().unwrap() {
            break until;
        }
    };
    let error = || shared.document()["error"].clone();
    let waits = |error: &Value| error.as_str().is_some_and(|error| error.contains("again"));
    assert!(waits(&error()), "{}", error());
    // Neither does an update make up for it.
    enforcer.sync(pods("db", "10.0.0.2")).unwrap();
    assert!(waits(&error()), "{}", error());
    assert_eq!(shared.document()["counts"]["pods"], 1);
    std::thread::sleep(until.saturating_duration_since(Instant::now()));
    assert!(matches!(enforcer.look().unwrap(), Handled::Repaired(_)));
    assert!(error().is_null());
    assert_eq!(shared.document()["counts"]["pods"], 2);
}

#[test]
fn addresses_of_the_nodes_pods_are_told_when_rules_are_in_force_for_them() {
    let (enforcer, _, held) = enforcer();
    let (sender, mut told) = watch::channel(Addresses::new());
    let mut enforcer = enforcer.telling_addresses_to(sender);
    let web = || vec![batch(Kind::Pods, vec![pod("web", "10.0.0.1")])];
    held.kernel(|kernel| kernel.fail(1, refused()));
    enforcer.sync(web()).unwrap_err();
    assert!(!told.has_changed().unwrap());
    enforcer.sync(Vec::new()).unwrap();
    let web_of = |uid: &str| Holder {
        pod: "shop/web".to_owned(),
        uid: uid.to_owned(),
    };
    let expected = Addresses::from([("10.0.0.1".parse().unwrap(), web_of(""))]);
    assert_eq!(*told.borrow_and_update(), expected);
    enforcer.sync(web()).unwrap();
    assert!(!told.has_changed().unwrap(), "the same pods");
    // The API tells the uid, and what the runtime tells after that leaves it.
    for uid in ["u1", "u2"] {
        let mut shown = web();
        shown[0].changes[0].identity.uid = uid.to_owned();
        enforcer.sync(shown).unwrap();
        enforcer.sync(web()).unwrap();
        assert_eq!(told.borrow_and_update().values().next(), Some(&web_of(uid)));
    }
    let gone = Event::PodGone(PodId::new("shop", "web"));
    enforcer.sync(vec![batch(Kind::Pods, vec![gone])]).unwrap();
    assert!(told.borrow_and_update().is_empty());
    enforcer.sync(web()).unwrap();
    let again = told.borrow_and_update().values().next().cloned();
    assert_eq!(again, Some(web_of("")), "another pod of the name");
}

/// Writes what is to be written, and says whether there was anything.
fn save(enforcer: &mut Enforcer<Held, Held>) -> bool {
    let Some(unsaved) = enforcer.unsaved() else {
        return false;
    };
    enforcer.note_saved(unsaved.write().unwrap());
    true
}

#[test]
fn what_is_not_in_force_is_not_saved() {
    let (enforcer, _, held) = enforcer();
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let mut enforcer = enforcer.saving_to(store.clone());
    assert!(!save(&mut enforcer));
    assert_eq!(store.read().unwrap(), None);
    let web = batch(Kind::Pods, vec![pod("web", "10.0.0.1")]);
    enforcer.sync(vec![web]).unwrap();
    assert!(save(&mut enforcer));
    let saved = store.read().unwrap();
    assert!(saved.is_some());
    held.kernel(|kernel| kernel.fail(1, refused()));
    let deny = policy("deny", &json!({"podSelector": {}}));
    enforcer
        .sync(vec![batch(Kind::Policies, vec![deny])])
        .unwrap_err();
    assert!(!save(&mut enforcer));
    assert_eq!(store.read().unwrap(), saved);
    enforcer.sync(Vec::new()).unwrap();
    assert!(save(&mut enforcer));
    assert_ne!(store.read().unwrap(), saved);
}

#[test]
fn what_changes_nothing_on_this_node_is_not_written_to_disk_again() {
    let (enforcer, _, _) = enforcer();
    let directory = tempfile::tempdir().unwrap();
    let mut enforcer = enforcer.saving_to(Store::new(directory.path()));
    let deny = policy("deny", &json!({"podSelector": {}}));
    let web = |address| batch(Kind::Pods, vec![pod("web", address)]);
    let batches = vec![web("10.0.0.1"), batch(Kind::Policies, vec![deny])];
    enforcer.sync(batches).unwrap();
    assert!(save(&mut enforcer) && !save(&mut enforcer));
    enforcer.sync(vec![web("10.0.0.1")]).unwrap();
    assert!(!save(&mut enforcer));
    // A copy that is on its way to the disk is not of what comes into force meanwhile.
    enforcer.sync(vec![web("10.0.0.2")]).unwrap();
    let copied = enforcer.unsaved().unwrap();
    enforcer.sync(vec![web("10.0.0.3")]).unwrap();
    enforcer.note_saved(copied.write().unwrap());
    assert!(save(&mut enforcer));
}

#[test]
fn found_rules_stay_while_the_cluster_knows_no_such_node() {
    let (enforcer, shared, held) = enforcer();
    let mut enforcer = enforcer.in_place_of_found_rules(true);
    let elsewhere = Event::NodeGone("node-b".into());
    let view = vec![batch(Kind::Nodes, vec![elsewhere])];
    let error = enforcer.sync(view).unwrap_err();
    assert!(error.to_string().contains("is --node right"), "{error}");
    enforcer.sync(Vec::new()).unwrap_err();
    let table = Config::default().table;
    held.kernel(|kernel| assert_eq!(kernel.outline(&table), Ok(None)));
    assert!(!shared.is_ready());
    // Either will do: a node that has just joined, or one that has gone and whose pods are still there.
    enforcer
        .sync(vec![batch(Kind::Pods, vec![pod("web", "10.0.0.1")])])
        .unwrap();
    assert!(shared.is_ready());
}
