//! How long it takes from a cluster to its rule graph and to one node's rules, at three sizes of a realistic mix, for
//! a real cluster's profile, and for policies that let everybody reach everybody; beside the naive way.

#[path = "../examples/scale/naive.rs"]
mod naive;
#[path = "../examples/scale/profile.rs"]
mod profile;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use nft_backend::config::Config;
use nft_backend::render::render;
use policy_core::{Cluster, RuleGraph};

/// Pods and policies.
const SIZES: [(usize, usize); 4] = [
    (1_000, 1_000),
    (5_413, 13_678),
    (10_000, 10_000),
    (100_000, 75_000),
];

fn benchmarks(criterion: &mut Criterion) {
    for (pods, policies) in SIZES {
        steps(
            criterion,
            &format!("mix/{pods}x{policies}"),
            &profile::mix(pods, policies),
        );
    }
    let (pods, policies) = (10_000, 10_000);
    let name = format!("all-select-all/{pods}x{policies}");
    steps(criterion, &name, &profile::all_select_all(pods, policies));

    let cluster = profile::mix(1_000, 1_000);
    let mut group = criterion.benchmark_group("naive/1000x1000");
    group.sample_size(10).bench_function("pairs", |bencher| {
        bencher.iter(|| naive::resolve(black_box(&cluster)));
    });
    group.finish();
}

/// The whole cluster's minimal graph; one node's minimal graph; that node's rules.
fn steps(criterion: &mut Criterion, name: &str, cluster: &Cluster) {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(3));
    let id = BenchmarkId::from_parameter;
    group.bench_function(id("graph"), |bencher| {
        bencher.iter_with_large_drop(|| RuleGraph::compile(black_box(cluster)).minimize());
    });
    let node_graph = || RuleGraph::compile_node(black_box(cluster), profile::NODE).minimize();
    group.bench_function(id("node graph"), |bencher| {
        bencher.iter_with_large_drop(node_graph);
    });
    let graph = node_graph();
    group.bench_function(id("node rules"), |bencher| {
        bencher.iter(|| render(black_box(&graph), profile::NODE, &Config::default()));
    });
    group.finish();
}

criterion_group!(benches, benchmarks);
criterion_main!(benches);
