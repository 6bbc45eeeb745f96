//! Increments in the fake kernel: what is in force after each, in between, and after each failure.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::cell::Cell;
use std::collections::BTreeMap;

use common::mutation::mutate;
use common::places::nodes;
use common::watched::{Watched, standing, trials, way_to_fail};
use nft_backend::config::{Config, Deny};
use nft_backend::diff::{NeedsLoad, diff};
use nft_backend::drift::drift;
use nft_backend::fake::FakeKernel;
use nft_backend::generation::MarkBits;
use nft_backend::in_force::InForce;
use nft_backend::interpreter::{Outcome, execute};
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::layout::set_generation;
use nft_backend::live::{Live, Update, UpdateError};
use nft_backend::load::again;
use nft_backend::render::render;
use nft_backend::ruleset::Ruleset;
use policy_core::RuleGraph;
use policy_core::testing::{Objects, Rng, Size, random_cluster, random_flows};

fn rules(objects: &Objects, node: &str) -> Ruleset {
    let graph = RuleGraph::compile(&objects.cluster());
    render(&graph, node, &config()).unwrap()
}

/// Two bits, so that generations come round soon.
fn config() -> Config {
    Config {
        marks: Some(MarkBits::from_mask(0x3).unwrap()),
        ..Config::default()
    }
}

fn without_comments(ruleset: &Ruleset) -> Ruleset {
    let mut ruleset = ruleset.clone();
    ruleset
        .chains
        .values_mut()
        .for_each(|chain| chain.comment.clear());
    ruleset
        .sets
        .values_mut()
        .for_each(|set| set.comment.clear());
    ruleset
}

/// The objects of a table, each as text, without what a load adds to their names and rules.
fn objects_of(ruleset: &Ruleset, without: fn(&str) -> String) -> Vec<String> {
    let text = ruleset.to_string();
    let mut objects = Vec::new();
    for object in text.split("\n\t}\n") {
        let lines = object.lines().filter(|line| !line.starts_with("\t#"));
        let plain = lines.map(|line| {
            let line = line.split(" comment ").next().unwrap();
            let words = line.split(' ').map(without);
            words.collect::<Vec<_>>().join(" ")
        });
        let object = plain.collect::<Vec<_>>().join("\n");
        if !object.contains("\tset digest ") {
            objects.push(object.replace("table inet nopal {\n", ""));
        }
    }
    objects.sort();
    objects
}

fn without_epoch(word: &str) -> String {
    let (word, end) = word
        .strip_suffix(',')
        .map_or((word, ""), |word| (word, ","));
    match word.rsplit_once("_e") {
        Some((name, epoch)) if !epoch.is_empty() && epoch.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{name}{end}")
        }
        _ => format!("{word}{end}"),
    }
}

/// One node's kernel, and the ruleset that should be in force.
#[derive(Clone)]
struct Node {
    kernel: Watched,
    live: Live,
}

impl Node {
    fn new() -> Self {
        Self {
            kernel: Watched::default(),
            live: Live::new(config()),
        }
    }

    /// Updates, with every state in between watched, and checks what is in force then.
    fn update(&mut self, desired: &Ruleset, context: &str) -> Update {
        let update = self.live.update(&mut self.kernel, desired);
        let update = update.unwrap_or_else(|error| panic!("{context}: {error}"));
        self.check(desired, context);
        update
    }

    fn check(&self, desired: &Ruleset, context: &str) {
        let table = config().table;
        let in_force = self.kernel.list(&table).unwrap().unwrap();
        assert_eq!(drift(desired, &in_force), [], "{context}");
        assert_eq!(in_force.digest(), Some(desired.digest()), "{context}");
        let known = self.live.contents().map(without_comments);
        assert!(
            known == self.kernel.table(&table).map(without_comments),
            "{context}"
        );
        let (bits, generation) = in_force.generation().unwrap();
        let mut expected = desired.clone();
        set_generation(&mut expected, bits, generation);
        let found = objects_of(self.kernel.table(&table).unwrap(), without_epoch);
        assert_eq!(found, objects_of(&expected, str::to_owned), "{context}");
        self.check_again(&in_force, context);
    }

    /// What is in force can be brought into an empty kernel just as it is: after a boot.
    fn check_again(&self, in_force: &InForce, context: &str) {
        let mut empty = FakeKernel::new();
        let again = again(self.live.contents().unwrap().clone());
        let bits = in_force.generation().map(|(bits, _)| bits);
        assert_eq!(again.marks, bits, "{context}");
        empty.apply(&again.create).unwrap();
        let table = config().table;
        let before = empty.outline(&table).unwrap().unwrap();
        assert_eq!(before.epoch(), None, "{context}: it leads nowhere yet");
        empty.apply(&again.switch).unwrap();
        let booted = empty.list(&table).unwrap();
        assert_eq!(booted.as_ref(), Some(in_force), "{context}");
        empty.apply(&again.unmark).unwrap();
        let unmarked = empty.outline(&table).unwrap().unwrap();
        assert_eq!(unmarked.generation(), None, "{context}");
    }

    /// The mark of a flow that is accepted now.
    fn mark(&self) -> u32 {
        let in_force = self.kernel.list(&config().table).unwrap().unwrap();
        let (bits, generation) = in_force.generation().unwrap();
        bits.value(generation)
    }

    /// Of the flows that the old ruleset allowed, and that were stamped before, just those go on that the new one allows.
    fn check_flows_since(&self, stood: &Self, [before, after]: [&Ruleset; 2], context: &str) {
        let cleared = self.kernel.cleared().len() > stood.kernel.cleared().len();
        let mark = if cleared { 0 } else { stood.mark() };
        let table = self.kernel.table(&config().table).unwrap();
        for trial in self.kernel.trials() {
            let allowed = |ruleset| execute(ruleset, trial) != Ok(Outcome::Dropped);
            if allowed(before) {
                let passes = execute(table, &standing(trial, mark)) != Ok(Outcome::Dropped);
                assert_eq!(passes, allowed(after), "{context}: {trial:?}");
            }
        }
    }
}

/// Steps of random changes, each of which the check is given the node's state before, the ruleset before, the ruleset
/// to come, and flows of both.
fn every_change(check: impl Fn(&mut Node, &Ruleset, &Ruleset, &str)) {
    for (size, seeds, flows) in [(Size::SMALL, 20, 60), (Size::MEDIUM, 2, 100)] {
        for seed in 0..seeds {
            let mut rng = Rng::new(seed);
            let mut objects = random_cluster(seed, size);
            let mut states: BTreeMap<String, (Node, Ruleset)> = BTreeMap::new();
            for node in nodes(&objects.cluster()) {
                let (mut state, ruleset) = (Node::new(), rules(&objects, &node));
                state.update(&ruleset, "first");
                states.insert(node, (state, ruleset));
            }
            for change in 0..10 {
                let next = mutate(&objects, &mut rng, change);
                let mut tried = random_flows(&objects, seed + change, flows);
                tried.extend(random_flows(&next, seed + change, flows));
                for (node, (state, before)) in &mut states {
                    let after = rules(&next, node);
                    let context = format!("seed {seed}, change {change}, {node}");
                    state.kernel.watch(&trials(&tried), before, &after);
                    check(state, before, &after, &context);
                    *before = after;
                }
                objects = next;
            }
        }
    }
}

#[test]
fn an_update_leaves_the_new_ruleset_and_no_packet_meets_anything_else_on_the_way() {
    every_change(|node, _, after, context| {
        node.update(after, context);
        assert_eq!(node.update(after, context), Update::Nothing, "{context}");
    });
}

#[test]
fn from_any_ruleset_to_any_other() {
    for (size, seeds) in [(Size::SMALL, 60), (Size::MEDIUM, 15)] {
        let mut node = Node::new();
        let mut before: Option<Ruleset> = None;
        for seed in 0..seeds {
            let objects = random_cluster(seed, size);
            let Some(name) = nodes(&objects.cluster()).pop_first() else {
                continue;
            };
            let after = rules(&objects, &name);
            if let Some(before) = &before {
                let flows = random_flows(&objects, seed, 100);
                node.kernel.watch(&trials(&flows), before, &after);
            }
            node.update(&after, &format!("seed {seed}"));
            before = Some(after);
        }
    }
}

/// Flows stamped under the old ruleset that the new one denies are cut, those that it allows go on.
#[test]
fn the_generation_moves_on_whenever_a_standing_flow_has_to_be_cut() {
    every_change(|node, before, after, context| {
        let stood = node.clone();
        node.update(after, context);
        node.check_flows_since(&stood, [before, after], context);
    });
}

#[test]
fn after_a_failure_the_next_update_goes_on_from_what_is_in_force() {
    let refused = || ApplyError::Refused {
        stderr: "on demand".to_owned(),
    };
    every_change(|node, before, after, context| {
        let fail = way_to_fail(node.kernel.applied().len());
        for failing in 1.. {
            let mut tried = node.clone();
            fail(&mut tried.kernel, failing, refused());
            let context = format!("{context}, failing {failing}");
            match tried.live.update(&mut tried.kernel, after) {
                Ok(_) => break,
                Err(error) => assert!(matches!(error, UpdateError::Step { .. }), "{context}"),
            }
            assert!(tried.live.contents().is_some(), "{context}");
            let update = tried.live.update(&mut tried.kernel, after).unwrap();
            assert!(update != Update::Load, "{context}");
            tried.check(after, &context);
            tried.check_flows_since(node, [before, after], &context);
        }
        node.update(after, context);
    });
}

#[test]
fn where_marks_could_not_be_cleared_the_next_update_cuts_what_it_denies() {
    let failed = Cell::new(0);
    every_change(|node, before, after, context| {
        let mut tried = node.clone();
        let stderr = "on demand".to_owned();
        tried.kernel.fail_to_clear(ApplyError::Refused { stderr });
        if let Err(error) = tried.live.update(&mut tried.kernel, after) {
            assert!(matches!(error, UpdateError::Step { .. }), "{context}");
            let update = tried.live.update(&mut tried.kernel, after).unwrap();
            assert!(update != Update::Load, "{context}");
            tried.check(after, context);
            tried.check_flows_since(node, [before, after], context);
            failed.set(failed.get() + 1);
        }
        node.update(after, context);
    });
    assert!(failed.get() > 20, "{}", failed.get());
}

#[test]
fn what_only_gives_or_only_takes_is_one_transaction_and_only_taking_moves_the_generation() {
    let ports =
        |ports: &str| format!("ingress: [{{from: [{{podSelector: {{}}}}], ports: [{ports}]}}]");
    let few = common::pair::rules(&ports("{port: 1}"), &config());
    let many = common::pair::rules(
        &ports("{port: 1}, {port: 2}, {protocol: UDP, port: 1}"),
        &config(),
    );
    let mut node = Node::new();
    node.update(&few, "few");
    for (desired, moves) in [(&many, false), (&few, true), (&many, false), (&few, true)] {
        let (mark, applied) = (node.mark(), node.kernel.applied().len());
        assert_eq!(node.update(desired, "between"), Update::Increment);
        assert_eq!(node.kernel.applied().len(), applied + 1);
        assert_eq!(node.mark() != mark, moves);
    }
}

#[test]
fn other_rules_around_the_classes_are_a_switch_and_other_marks_or_a_strange_table_need_a_load() {
    let rules = |config: &Config| common::pair::rules("ingress: [{}]", config);
    let mut node = Node::new();
    node.update(&rules(&config()), "first");
    let rejecting = Config {
        deny: Deny::Reject,
        ..config()
    };
    assert_eq!(node.update(&rules(&rejecting), "rejecting"), Update::Switch);
    let unmarked = Config {
        marks: None,
        ..config()
    };
    let contents = node.live.contents().unwrap();
    assert_eq!(
        diff(contents, &rules(&unmarked)),
        Err(NeedsLoad::OtherSettings)
    );
    assert_eq!(
        diff(&rules(&config()), &rules(&config())),
        Err(NeedsLoad::Foreign)
    );
}
