//! A table kept by the deltas of a node's events, in the fake kernel: what is in force after each, in between, and after
//! each failure.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::events::{arrivals, way};
use common::watched::{Watched, standing, trials, way_to_fail};
use nft_backend::config::Config;
use nft_backend::delta::Delta;
use nft_backend::drift::drift;
use nft_backend::generation::MarkBits;
use nft_backend::interpreter::{Outcome, execute};
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::live::{Live, Update, UpdateError};
use nft_backend::node::Node;
use nft_backend::ruleset::Ruleset;
use policy_core::incremental::{Engine, Event};
use policy_core::testing::{Rng, Size, random_cluster, random_flows};
use policy_core::{Cluster, Flow};
use serde_json::{Value, json};

/// Two bits, so that generations come round soon.
fn config() -> Config {
    Config {
        marks: Some(MarkBits::from_mask(0x3).unwrap()),
        ..Config::default()
    }
}

/// A node whose table is kept by deltas, from a first load on.
struct Kept {
    engine: Engine,
    node: Node,
    live: Live,
    kernel: Watched,
    ruleset: Ruleset,
}

impl Kept {
    fn new(name: &str, events: impl IntoIterator<Item = Event>, rule_counters: bool) -> Self {
        let mut engine = Engine::new(name).telling_rules();
        let config = Config {
            rule_counters,
            ..config()
        };
        let mut node = Node::new(config.clone()).unwrap();
        node.take(&engine.apply(events));
        let (mut live, mut kernel) = (Live::new(config), Watched::default());
        let ruleset = node.ruleset().unwrap();
        live.update(&mut kernel, &ruleset).unwrap();
        Self {
            engine,
            node,
            live,
            kernel,
            ruleset,
        }
    }

    /// Takes events as one change, and has packets watched that may not meet anything but the old rules or the new ones.
    fn prepare(&mut self, events: &[Event], flows: &[Flow]) -> Delta {
        let delta = self.node.take(&self.engine.apply(events.iter().cloned()));
        let before = self.ruleset.clone();
        delta.apply_to(&mut self.ruleset);
        self.kernel.watch(&trials(flows), &before, &self.ruleset);
        delta
    }

    fn check(&self, context: &str) {
        let table = config().table;
        let in_force = self.kernel.list(&table).unwrap().unwrap();
        assert_eq!(drift(&self.ruleset, &in_force), [], "{context}");
        assert_eq!(in_force.digest(), Some(self.node.digest()), "{context}");
        let known = self.live.contents().map(Ruleset::without_comments);
        let table = self.kernel.table(&table).map(Ruleset::without_comments);
        assert!(known == table, "{context}");
    }

    fn mark(&self) -> u32 {
        let in_force = self.kernel.list(&config().table).unwrap().unwrap();
        let (bits, generation) = in_force.generation().unwrap();
        bits.value(generation)
    }
}

/// Random events in batches, each of which the check is given with flows of the clusters that they lead from and to.
fn every_batch(check: impl Fn(&mut Kept, &[Event], &[Flow], &str)) {
    let plain = [(Size::SMALL, 25, 60, false), (Size::MEDIUM, 2, 100, false)];
    let counting = [(Size::SMALL, 15, 60, true), (Size::MEDIUM, 1, 100, true)];
    for (size, seeds, count, rule_counters) in plain.into_iter().chain(counting) {
        for seed in 0..seeds {
            let objects = [0, 1000, 2000].map(|base| random_cluster(base + seed, size));
            let [from, to, detour] = [0, 1, 2].map(|index: usize| objects[index].cluster());
            let mut flows = random_flows(&objects[0], seed, count);
            flows.extend(random_flows(&objects[1], seed, count));
            let mut rng = Rng::new(seed);
            let name = *rng.pick(&["node-a", "node-b"]);
            let mut kept = Kept::new(name, arrivals(&from), rule_counters);
            let events = way(&from, &to, &detour, &mut rng);
            let mut rest = events.as_slice();
            while !rest.is_empty() {
                let size = if rng.chance(60) { 1 } else { 1 + rng.below(8) };
                let (batch, others) = rest.split_at(size.min(rest.len()));
                let context = format!(
                    "seed {seed}, rule counters {rule_counters}, {} left",
                    others.len()
                );
                check(&mut kept, batch, &flows, &context);
                rest = others;
            }
        }
    }
}

#[test]
fn a_delta_brings_the_new_ruleset_about_and_no_packet_meets_anything_else_on_the_way() {
    every_batch(|kept, events, flows, context| {
        let delta = kept.prepare(events, flows);
        let (mark, cleared) = (kept.mark(), kept.kernel.cleared().len());
        let update = kept.live.update_by(&mut kept.kernel, &delta).unwrap();
        assert_eq!(delta.is_empty(), update == Update::Nothing, "{context}");
        kept.check(context);
        let cleared = kept.kernel.cleared().len() > cleared;
        let mark = if cleared { 0 } else { mark };
        let table = kept.kernel.table(&config().table).unwrap();
        for trial in kept.kernel.trials() {
            let denied = execute(&kept.ruleset, trial) == Ok(Outcome::Dropped);
            let passes = execute(table, &standing(trial, mark)) != Ok(Outcome::Dropped);
            assert!(
                !(denied && passes && mark != kept.mark()),
                "{context}: {trial:?}"
            );
            assert!(denied || passes, "{context}: {trial:?} was lost");
        }
    });
}

#[test]
fn a_flow_that_a_delta_denies_is_cut() {
    every_batch(|kept, events, flows, context| {
        let before = kept.ruleset.clone();
        let delta = kept.prepare(events, flows);
        let (mark, cleared) = (kept.mark(), kept.kernel.cleared().len());
        kept.live.update_by(&mut kept.kernel, &delta).unwrap();
        let cleared = kept.kernel.cleared().len() > cleared;
        let mark = if cleared { 0 } else { mark };
        let table = kept.kernel.table(&config().table).unwrap();
        for trial in kept.kernel.trials() {
            let denied = |ruleset| execute(ruleset, trial) == Ok(Outcome::Dropped);
            if !denied(&before) && denied(&kept.ruleset) {
                let outcome = execute(table, &standing(trial, mark));
                assert_eq!(outcome, Ok(Outcome::Dropped), "{context}: {trial:?}");
            }
        }
    });
}

#[test]
fn after_a_failure_deltas_are_refused_until_the_whole_ruleset_was_given() {
    every_batch(|kept, events, flows, context| {
        let delta = kept.prepare(events, flows);
        let fail = way_to_fail(kept.kernel.applied().len());
        for failing in 1.. {
            let (mut live, mut kernel) = (kept.live.clone(), kept.kernel.clone());
            let stderr = "on demand".to_owned();
            fail(&mut kernel, failing, ApplyError::Refused { stderr });
            match live.update_by(&mut kernel, &delta) {
                Ok(_) => break,
                Err(error) => assert!(matches!(error, UpdateError::Step { .. }), "{context}"),
            }
            let again = live.update_by(&mut kernel, &delta);
            assert_eq!(again, Err(UpdateError::OutOfStep), "{context}");
            let update = live
                .update(&mut kernel, &kept.node.ruleset().unwrap())
                .unwrap();
            assert!(update != Update::Load, "{context}");
            let in_force = kernel.list(&config().table).unwrap().unwrap();
            assert_eq!(drift(&kept.ruleset, &in_force), [], "{context}");
            let nothing = Delta {
                from: delta.to,
                to: delta.to,
                ..Delta::default()
            };
            let update = live.update_by(&mut kernel, &nothing);
            assert_eq!(update, Ok(Update::Nothing), "{context}");
        }
        kept.live.update_by(&mut kept.kernel, &delta).unwrap();
        kept.check(context);
    });
}

#[test]
fn a_delta_of_something_else_is_refused() {
    let mut kept = Kept::new("node-a", [], false);
    let events = arrivals(&shop(&[80]));
    kept.node.take(&kept.engine.apply(events));
    let later = kept
        .node
        .take(&kept.engine.apply(arrivals(&shop(&[80, 81]))));
    let applied = kept.kernel.applied().len();
    let refused = kept.live.update_by(&mut kept.kernel, &later);
    assert_eq!(refused, Err(UpdateError::OutOfStep));
    assert_eq!(kept.kernel.applied().len(), applied);
}

/// Two pods on node-a that a policy allows these ports for ingress, and two that another policy isolates.
fn shop(ports: &[u16]) -> Cluster {
    let pod = |name: &str, app: &str, address: &str| {
        json!({
            "kind": "Pod",
            "metadata": { "namespace": "shop", "name": name, "labels": { "app": app } },
            "spec": { "nodeName": "node-a", "containers": [] },
            "status": { "podIPs": [{ "ip": address }] },
        })
    };
    let from = |ports: &[u16], cidr: &str| {
        let ports: Vec<Value> = ports.iter().map(|port| json!({ "port": port })).collect();
        json!({ "from": [{ "ipBlock": { "cidr": cidr } }], "ports": ports })
    };
    let policy = |app: &str, rules: Value| {
        json!({
            "kind": "NetworkPolicy",
            "metadata": { "namespace": "shop", "name": app },
            "spec": { "podSelector": { "matchLabels": { "app": app } }, "ingress": rules },
        })
    };
    let mut rules = vec![from(&[8080], "198.51.100.7/32")];
    rules.extend(ports.iter().map(|port| from(&[*port], "203.0.113.0/24")));
    let objects = vec![
        pod("web-1", "web", "10.0.0.1"),
        pod("web-2", "web", "10.0.0.2"),
        pod("db-1", "db", "10.0.0.3"),
        pod("db-2", "db", "10.0.0.4"),
        policy("web", json!(rules)),
        policy("db", json!([from(&[5432], "10.0.0.0/24")])),
    ];
    policy_core::testing::Objects::read(objects)
        .unwrap()
        .cluster()
}

/// Whether rules come, or an interval set loses an element that packets are looked up in.
#[test]
fn a_policy_with_other_rules_touches_the_chains_of_its_own_class_alone() {
    for rule_counters in [false, true] {
        touch_one_class(rule_counters);
    }
}

fn touch_one_class(rule_counters: bool) {
    let mut kept = Kept::new("node-a", arrivals(&shop(&[])), rule_counters);
    for ports in [&[80][..], &[], &[80, 443], &[443]] {
        let events = arrivals(&shop(ports));
        let delta = kept.prepare(&events, &[]);
        let applied = kept.kernel.applied().len();
        let update = kept.live.update_by(&mut kept.kernel, &delta).unwrap();
        kept.check("shop");
        assert_eq!(update, Update::Increment);
        let text: String = kept.kernel.applied()[applied..]
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(!text.contains("shop_db"), "{text}");
    }
}

/// Everyone may use the port already, so the blocks that a rule lists besides make no difference to any packet.
#[test]
fn what_only_counts_is_changed_in_place_and_cuts_no_flow() {
    let cluster = |blocks: &[&str]| {
        let from = blocks
            .iter()
            .map(|cidr| json!({ "ipBlock": { "cidr": cidr } }));
        let rules = json!([
            { "ports": [{ "port": 80 }] },
            { "from": from.collect::<Vec<Value>>(), "ports": [{ "port": 80 }] },
        ]);
        let objects = vec![
            json!({
                "kind": "Pod",
                "metadata": { "namespace": "shop", "name": "web" },
                "spec": { "nodeName": "node-a", "containers": [] },
                "status": { "podIPs": [{ "ip": "10.0.0.1" }] },
            }),
            json!({
                "kind": "NetworkPolicy",
                "metadata": { "namespace": "shop", "name": "web" },
                "spec": { "podSelector": {}, "ingress": rules },
            }),
        ];
        policy_core::testing::Objects::read(objects)
            .unwrap()
            .cluster()
    };
    let both = ["203.0.113.0/24", "198.51.100.0/24"];
    let mut kept = Kept::new("node-a", arrivals(&cluster(&both)), true);
    let mark = kept.mark();
    for blocks in [&both[..1], &both[..]] {
        let delta = kept.prepare(&arrivals(&cluster(blocks)), &[]);
        let update = kept.live.update_by(&mut kept.kernel, &delta).unwrap();
        assert_eq!(update, Update::Increment, "{blocks:?}");
        kept.check("blocks");
        assert_eq!(kept.mark(), mark, "{blocks:?}");
    }
}
