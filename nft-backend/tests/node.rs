//! The law of the incremental renderer: after any events the ruleset that its deltas make is the one that rendering the
//! graph from scratch gives, byte for byte but for comments.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::BTreeSet;

use common::difference;
use common::events::{arrivals, departures, way};
use nft_backend::class::Classes;
use nft_backend::config::Config;
use nft_backend::delta::Delta;
use nft_backend::layout::lay_out;
use nft_backend::names::Name;
use nft_backend::node::{Footprint, Node};
use nft_backend::render::{counted_rules, render};
use nft_backend::rule_counters;
use nft_backend::ruleset::Ruleset;
use policy_core::incremental::{Engine, Event};
use policy_core::testing::{Objects, Rng, Size, random_cluster};
use policy_core::{Cluster, Pod, Policy};

const NODES: [&str; 2] = ["node-a", "node-b"];

/// Sizes, and how many ways are tried.
const RUNS: [(Size, u64); 2] = [(Size::SMALL, 30), (Size::MEDIUM, 3)];

/// A node with its engine, and the ruleset that the deltas make.
struct Kept {
    name: &'static str,
    config: Config,
    engine: Engine,
    node: Node,
    ruleset: Ruleset,
}

/// Without counters of rules, and with them.
fn configs() -> [Config; 2] {
    [false, true].map(|rule_counters| Config {
        rule_counters,
        ..Config::default()
    })
}

impl Kept {
    fn new(name: &'static str, config: &Config) -> Self {
        Self {
            name,
            engine: Engine::new(name).telling_rules(),
            node: Node::new(config.clone()).unwrap(),
            ruleset: lay_out(config, &Classes::default()).unwrap(),
            config: config.clone(),
        }
    }

    fn take(&mut self, events: impl IntoIterator<Item = Event>) -> Delta {
        let delta = self.node.take(&self.engine.apply(events));
        assert_eq!(delta.from, self.ruleset.digest());
        delta.apply_to(&mut self.ruleset);
        assert_eq!(delta.to, self.ruleset.digest());
        delta
    }

    fn check(&self, context: &str) {
        let rendered = render(&self.engine.graph(), self.name, &self.config).unwrap();
        let rendered = rendered.without_comments().to_string();
        let compare = |what: &str, ruleset: &Ruleset| {
            let difference = difference(&rendered, &ruleset.without_comments().to_string());
            assert!(difference.is_empty(), "{context}: {what}\n{difference}");
        };
        compare("what the deltas made", &self.ruleset);
        compare("the whole", &self.node.ruleset().unwrap());
        let of_graph = counted_rules(&self.engine.graph(), self.name);
        let expected = if self.config.rule_counters {
            of_graph
        } else {
            BTreeSet::new()
        };
        assert_eq!(self.node.counted_rules(), expected, "{context}");
        let counters = self.ruleset.counters.iter();
        let of_rules = counters.filter(|name| name.as_str().starts_with("rule_"));
        let names: BTreeSet<Name> = expected.iter().map(rule_counters::name).collect();
        assert_eq!(
            of_rules.cloned().collect::<BTreeSet<_>>(),
            names,
            "{context}"
        );
    }
}

fn every_way(run: impl Fn(&str, &Config, Vec<Event>, Vec<Event>, Rng)) {
    for (config, (size, seeds)) in configs()
        .into_iter()
        .flat_map(|config| RUNS.map(|run| (config.clone(), run)))
    {
        for seed in 0..seeds {
            let [from, to, detour] = [0, 1000, 2000].map(|base| {
                let objects: Objects = random_cluster(base + seed, size);
                objects.cluster()
            });
            let mut rng = Rng::new(seed);
            let mut events = way(&Cluster::default(), &from, &detour, &mut rng);
            events.extend(way(&from, &to, &detour, &mut rng));
            let mut end = departures(&to, &Cluster::default());
            rng.shuffle(&mut end);
            let context = format!("rule counters {}, seed {seed}", config.rule_counters);
            run(&context, &config, events, end, rng);
        }
    }
}

#[test]
fn after_every_event_the_ruleset_is_the_one_rendered_from_scratch() {
    every_way(|run, config, events, _, mut rng| {
        let name = *rng.pick(&NODES);
        let mut kept = Kept::new(name, config);
        for (number, event) in events.into_iter().enumerate() {
            let context = format!("{run}, event {number}: {event:?}");
            kept.take([event.clone()]);
            kept.check(&context);
            assert!(kept.take([event]).is_empty(), "{context}: the same again");
        }
    });
}

#[test]
fn a_delta_of_many_events_is_the_deltas_of_each_joined() {
    every_way(|run, config, events, _, mut rng| {
        let name = *rng.pick(&NODES);
        let (mut kept, mut lone) = (Kept::new(name, config), Kept::new(name, config));
        let mut rest = events.as_slice();
        while !rest.is_empty() {
            let (batch, others) = rest.split_at(1 + rng.below(rest.len().min(25)));
            let delta = kept.take(batch.iter().cloned());
            kept.check(run);
            let deltas = batch.iter().map(|event| lone.take([event.clone()]));
            let joined = deltas.reduce(Delta::then).unwrap();
            assert_eq!(delta, joined, "{run}");
            rest = others;
        }
    });
}

#[test]
fn nothing_is_left_when_everything_is_gone() {
    every_way(|run, config, events, end, mut rng| {
        let name = *rng.pick(&NODES);
        let mut kept = Kept::new(name, config);
        let empty = kept.ruleset.clone();
        for event in events.into_iter().chain(end) {
            kept.take([event]);
        }
        assert_eq!(kept.node.footprint(), Footprint::default(), "{run}");
        assert_eq!(kept.ruleset, empty, "{run}");
    });
}

/// More than 4,096 elements of a permission make a peer set of its own, which classes with the same peers share.
#[test]
fn splits_come_and_go_and_share_their_peers() {
    let objects = common::split::many_clients();
    let cluster = objects.cluster();
    for config in configs() {
        splits_of(&cluster, &config);
    }
}

fn splits_of(cluster: &Cluster, config: &Config) {
    let mut kept = Kept::new("node-a", config);
    kept.take(arrivals(cluster));
    kept.check("all");
    let peer_sets = |kept: &Kept| {
        let names = kept.ruleset.sets.keys().map(ToString::to_string);
        names.filter(|name| name.starts_with("p_")).count()
    };
    assert_eq!(peer_sets(&kept), 2);
    let clients = cluster
        .pods()
        .values()
        .filter(|pod| pod.id.name.starts_with("client"));
    let clients: Vec<Pod> = clients.map(|pod| Pod::clone(pod)).collect();
    for (number, clients) in clients.chunks(25).enumerate() {
        kept.take(clients.iter().map(|pod| Event::PodGone(pod.id.clone())));
        kept.check(&format!("without {number}"));
        if number % 2 == 0 {
            kept.take([Event::Pod(clients[0].clone())]);
            kept.check(&format!("with one of {number}"));
        }
    }
    assert_eq!(peer_sets(&kept), 0);
    kept.take(arrivals(cluster));
    for policy in cluster.policies().keys() {
        kept.take([Event::PolicyGone(policy.clone())]);
        kept.check(&format!("without {policy}"));
    }
}

/// A class that keeps its peers while another one gets others has a set of its own from then on.
#[test]
fn peers_that_part_have_sets_of_their_own_and_share_one_when_they_meet_again() {
    let objects = common::split::many_clients();
    let cluster = objects.cluster();
    let mut kept = Kept::new("node-a", &configs()[1]);
    kept.take(arrivals(&cluster));
    let policy = |name: &str| {
        let mut policies = cluster.policies().values();
        let policy = policies.find(|policy| &*policy.id.name == name);
        policy.unwrap().as_ref().clone()
    };
    let [db, cache] = ["db", "cache"].map(policy);
    for (into, from) in [(&db, &policy("db-red")), (&cache, &policy("cache-near"))] {
        let other = Policy {
            ingress: from.ingress.clone(),
            ..into.clone()
        };
        for policy in [other, into.clone()] {
            kept.take([Event::Policy(policy.clone())]);
            kept.check(&format!("{} with other rules", policy.id));
        }
    }
}
