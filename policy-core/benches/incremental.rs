//! How long the incremental engine takes for single events in a large cluster, beside compiling it anew.

#[path = "../../nft-backend/examples/scale/profile.rs"]
mod profile;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use policy_core::incremental::{Changes, Engine, Event};
use policy_core::policy::{Policy, Ports, Rule};
use policy_core::{Cluster, Labels, Pod, RuleGraph};

const PODS: usize = 100_000;
const POLICIES: usize = 75_000;

fn benchmarks(criterion: &mut Criterion) {
    let name = format!("mix/{PODS}x{POLICIES}");
    events(criterion, &name, &profile::mix(PODS, POLICIES));
    let (pods, policies) = (10_000, 10_000);
    let name = format!("all-select-all/{pods}x{policies}");
    events(criterion, &name, &profile::all_select_all(pods, policies));
}

fn events(criterion: &mut Criterion, name: &str, cluster: &Cluster) {
    let mut group = criterion.benchmark_group(format!("incremental/{name}"));
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(2));
    let id = BenchmarkId::from_parameter;
    group.bench_function(id("compile and minimize"), |bencher| {
        bencher.iter(|| RuleGraph::compile_node(black_box(cluster), profile::NODE).minimize());
    });
    group.bench_function(id("first batch"), |bencher| {
        let first = || (Engine::new(profile::NODE), arrivals(cluster));
        let apply = |(mut engine, events): (Engine, Vec<Event>)| {
            engine.apply(events);
            engine
        };
        bencher.iter_batched(first, apply, BatchSize::PerIteration);
    });
    let mut engine = Engine::new(profile::NODE);
    engine.apply(arrivals(cluster));
    group.sample_size(100);
    for (what, [there, back]) in pairs(cluster, &mut engine) {
        group.bench_function(id(what), |bencher| {
            let mut is_there = false;
            let mut next = || {
                is_there = !is_there;
                if is_there {
                    there.clone()
                } else {
                    back.clone()
                }
            };
            let apply = |event| engine.apply([event]);
            bencher.iter_batched(&mut next, apply, BatchSize::SmallInput);
        });
        engine.apply([back]);
    }
    group.finish();
}

fn arrivals(cluster: &Cluster) -> Vec<Event> {
    let namespaces = cluster.namespaces().values().cloned();
    let namespaces = namespaces.map(Event::Namespace);
    let pods = cluster.pods().values().map(AsRef::as_ref);
    let policies = cluster.policies().values().map(AsRef::as_ref);
    let pods = pods.cloned().map(Event::Pod);
    let policies = policies.cloned().map(Event::Policy);
    namespaces.chain(pods).chain(policies).collect()
}

/// What is measured: an event, and the one that takes it back.
fn pairs(cluster: &Cluster, engine: &mut Engine) -> Vec<(&'static str, [Event; 2])> {
    let (mut unrelated, mut peer, mut local) = (None, None, None);
    let mut most = 0;
    for pod in cluster.pods().values() {
        if pod.node.as_deref() == Some(profile::NODE) {
            local.get_or_insert(pod);
            continue;
        }
        let [there, back] = readdressed(pod);
        let reached = reach(&engine.apply([there]));
        engine.apply([back]);
        if reached == 0 {
            unrelated.get_or_insert(pod);
        } else if reached > most {
            most = reached;
            peer = Some(pod);
        }
    }
    let mut pairs = Vec::new();
    if let Some(pod) = unrelated {
        pairs.push((
            "address of a pod that concerns nobody here",
            readdressed(pod),
        ));
        pairs.push(("labels of a pod that concerns nobody here", relabelled(pod)));
    }
    if let Some(pod) = peer {
        pairs.push(("address of the peer of most subjects", readdressed(pod)));
        pairs.push(("labels of the peer of most subjects", relabelled(pod)));
    }
    let namespaces = cluster.namespaces().values();
    let namespaces = namespaces.map(|namespace| {
        let mut other = namespace.clone();
        other.labels = other.labels.with("stage", "other");
        let there = Event::Namespace(other);
        let back = Event::Namespace(namespace.clone());
        let reached = reach(&engine.apply([there.clone()]));
        engine.apply([back.clone()]);
        (reached, [there, back])
    });
    if let Some((_, pair)) = namespaces.max_by_key(|(reached, _)| *reached) {
        pairs.push((
            "labels of the namespace that most subjects have peers in",
            pair,
        ));
    }
    if let Some(pod) = local {
        pairs.push(("address of a pod here", readdressed(pod)));
        pairs.push(("labels of a pod here", relabelled(pod)));
        let is_here = |policy: &&Policy| {
            policy.id.namespace == pod.id.namespace && policy.subjects.matches(&pod.labels)
        };
        let policies = cluster.policies().values().map(AsRef::as_ref);
        if let Some(policy) = policies
            .filter(is_here)
            .max_by_key(|policy| policy.ingress.len())
        {
            pairs.push(("rules of a policy that selects pods here", reruled(policy)));
        }
    }
    if let Some(pod) = unrelated {
        let mut policies = cluster.policies().values();
        if let Some(policy) = policies.find(|policy| policy.id.namespace == pod.id.namespace) {
            pairs.push((
                "rules of a policy that selects nobody here",
                reruled(policy),
            ));
        }
    }
    pairs
}

/// How many subjects changes are about.
fn reach(changes: &Changes) -> usize {
    changes.subjects.len() + changes.vanished.len()
}

fn readdressed(pod: &Pod) -> [Event; 2] {
    let mut other = pod.clone();
    other.addresses = vec!["10.255.255.250".parse().expect("an address")];
    [Event::Pod(other), Event::Pod(pod.clone())]
}

fn relabelled(pod: &Pod) -> [Event; 2] {
    let mut other = pod.clone();
    let labels: Labels = pod.labels.with("tier", "other");
    other.labels = labels;
    [Event::Pod(other), Event::Pod(pod.clone())]
}

fn reruled(policy: &Policy) -> [Event; 2] {
    let mut other = policy.clone();
    other.ingress.push(Rule::Allow {
        peers: policy_core::policy::Peers::Everyone,
        ports: Ports::All,
    });
    [Event::Policy(other), Event::Policy(policy.clone())]
}

criterion_group!(benches, benchmarks);
criterion_main!(benches);
