//! Properties of rendered rules over random clusters, whose seeds stay valid.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use common::difference;
use common::judge::Judge;
use common::places::nodes;
use nft_backend::config::Config;
use nft_backend::drift::drift;
use nft_backend::element::{Element, Key, overlap};
use nft_backend::fake::FakeKernel;
use nft_backend::kernel::Kernel;
use nft_backend::load::{StandingFlows, load};
use nft_backend::render::render;
use nft_backend::ruleset::Ruleset;
use policy_core::testing::{Objects, Rng, Size, random_cluster, random_flows, shrink};
use policy_core::{Flow, RuleGraph};

/// Clusters of a size, their seeds counted from 0, and the flows tried in each.
const RUNS: [(Size, u64, usize); 2] = [(Size::SMALL, 200, 60), (Size::MEDIUM, 40, 250)];

fn every_cluster(check: impl Fn(&Objects, u64, usize)) {
    for (size, seeds, flows) in RUNS {
        for seed in 0..seeds {
            check(&random_cluster(seed, size), seed, flows);
        }
    }
}

/// The rulesets of all nodes.
fn rulesets(objects: &Objects) -> BTreeMap<String, Ruleset> {
    let cluster = objects.cluster();
    let graph = RuleGraph::compile(&cluster);
    let rendered = |node: String| {
        let ruleset = render(&graph, &node, &Config::default()).unwrap();
        (node, ruleset)
    };
    nodes(&cluster).into_iter().map(rendered).collect()
}

fn texts(objects: &Objects) -> BTreeMap<String, String> {
    let rulesets = rulesets(objects).into_iter();
    rulesets
        .map(|(node, ruleset)| (node, ruleset.to_string()))
        .collect()
}

/// What the rules of these objects do otherwise than the naive evaluator says, if anything.
fn disagreement(objects: &Objects, flows: &[Flow]) -> Option<String> {
    let cluster = objects.cluster();
    let judge = match Judge::new(&cluster, &RuleGraph::compile(&cluster)) {
        Ok(judge) => judge,
        Err(error) => return Some(error.to_string()),
    };
    let reference = objects.reference();
    flows.iter().find_map(|flow| {
        let verdict = reference.evaluate(flow);
        let objection = judge.objection(flow, verdict)?;
        Some(format!("{objection}; the reference says {verdict}"))
    })
}

#[test]
fn the_naive_evaluator_and_the_rendered_rules_agree() {
    every_cluster(|objects, seed, count| {
        let flows = random_flows(objects, seed, count);
        if disagreement(objects, &flows).is_some() {
            let small = shrink(objects, |objects| disagreement(objects, &flows).is_some());
            let wrong = disagreement(&small, &flows).unwrap();
            panic!("seed {seed}: {wrong}\n{}", small.to_json_list());
        }
    });
}

#[test]
fn the_order_of_objects_never_changes_a_byte() {
    every_cluster(|objects, seed, _| {
        let mut written = objects.written().to_vec();
        Rng::new(seed).shuffle(&mut written);
        let shuffled = Objects::read(written).unwrap();
        for ((node, text), other) in texts(objects).iter().zip(texts(&shuffled).values()) {
            let difference = difference(text, other);
            assert!(difference.is_empty(), "seed {seed}, {node}\n{difference}");
        }
    });
}

#[test]
fn a_graph_of_one_node_gives_the_same_bytes_as_the_whole_one() {
    every_cluster(|objects, seed, _| {
        let cluster = objects.cluster();
        for (node, whole) in texts(objects) {
            let graph = RuleGraph::compile_node(&cluster, &node);
            let own = render(&graph, &node, &Config::default()).unwrap();
            let difference = difference(&whole, &own.to_string());
            assert!(difference.is_empty(), "seed {seed}, {node}\n{difference}");
        }
    });
}

/// The elements that one class compares with one key, from its hash and its interval set together.
fn elements_by_class(ruleset: &Ruleset) -> BTreeMap<(String, Key), BTreeSet<Element>> {
    let mut elements: BTreeMap<(String, Key), BTreeSet<Element>> = BTreeMap::new();
    for (name, set) in &ruleset.sets {
        let name = name.to_string();
        let class = name
            .rsplit_once('_')
            .map_or(name.as_str(), |(class, _)| class);
        let of_class = elements.entry((class.to_owned(), set.key)).or_default();
        of_class.extend(&set.elements);
    }
    elements
}

#[test]
fn elements_of_one_class_never_overlap() {
    every_cluster(|objects, seed, _| {
        for (node, ruleset) in rulesets(objects) {
            for ((class, _), elements) in elements_by_class(&ruleset) {
                let found = overlap(&elements);
                assert_eq!(found, None, "seed {seed}, {node}, {class}");
            }
        }
    });
}

#[test]
fn what_a_load_puts_in_force_is_what_was_rendered_whatever_was_before() {
    let config = Config::default();
    let lasting = RefCell::new(FakeKernel::new());
    every_cluster(|objects, seed, _| {
        for (node, ruleset) in rulesets(objects) {
            for kernel in [&mut FakeKernel::new(), &mut *lasting.borrow_mut()] {
                load(kernel, &ruleset, &config, StandingFlows::Recheck).unwrap();
                let in_force = kernel.list(&config.table).unwrap().unwrap();
                assert_eq!(drift(&ruleset, &in_force), [], "seed {seed}, {node}");
                assert_eq!(in_force.digest(), Some(ruleset.digest()));
            }
        }
    });
}

#[test]
fn a_product_too_large_for_one_set_is_split_shares_its_peers_and_means_the_same() {
    let objects = common::split::many_clients();
    assert_eq!(
        disagreement(&objects, &random_flows(&objects, 0, 2000)),
        None
    );
    let ruleset = &rulesets(&objects)["node-a"];
    let sets = |prefix: &str| {
        let names = ruleset.sets.keys().map(ToString::to_string);
        names.filter(|name| name.starts_with(prefix)).count()
    };
    assert_eq!(sets("p_"), 2, "one peer set for each family");
    assert_eq!(sets("iq"), 2, "one port set for each class");
    let elements: usize = ruleset.sets.values().map(|set| set.elements.len()).sum();
    assert!(elements < 3000, "{elements} elements");
}
