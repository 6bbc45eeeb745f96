//! Measures what one event costs, from the event to the transactions, on a node with 100,000 elements, 400 chains and
//! 600 sets in a cluster of 100,000 pods. Beside it, in the same run, the naive way: render the graph anew and compare.
//!
//! `cargo run --release --example delta -p nft-backend`. The kernel is a sink that writes the transactions as text.

use std::fs;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use nft_backend::config::Config;
use nft_backend::generation::MarkBits;
use nft_backend::in_force::InForce;
use nft_backend::kernel::{ApplyError, Kernel};
use nft_backend::live::{Live, Update};
use nft_backend::names::Name;
use nft_backend::node::Node;
use nft_backend::render::render;
use nft_backend::transaction::Transaction;
use policy_core::Pod;
use policy_core::incremental::{Engine, Event};
use policy_core::testing::Objects;
use serde_json::{Value, json};

/// With their reversed ones, 400 chains; with three sets each, 600 sets.
const CLASSES: usize = 200;
/// Each class may be reached by one group of peers, so that a peer is one of ten classes.
const GROUPS: usize = 20;
const PEERS: usize = 500;
const PODS: usize = 100_000;
const ROUNDS: usize = 1_000;
const NAIVE_ROUNDS: usize = 5;
const NODE: &str = "node-a";

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut out = io::stdout();
    let events = events(cluster())?;
    let at_start = resident()?;
    let mut engine = Engine::new(NODE);
    let changes = engine.apply(events);
    let after_engine = resident()?;
    let mut node = Node::new(Config::default())?;
    node.take(&changes);
    drop(changes);
    let after_node = resident()?;
    let (mut live, mut sink) = (Live::new(Config::default()), Sink::default());
    let ruleset = node.ruleset()?;
    live.update(&mut sink, &ruleset)?;
    let elements: usize = ruleset.sets.values().map(|set| set.elements.len()).sum();
    writeln!(
        out,
        "{elements} elements, {} chains, {} sets; {:?}; {:?}",
        ruleset.chains.len(),
        ruleset.sets.len(),
        engine.footprint(),
        node.footprint()
    )?;
    writeln!(
        out,
        "resident memory: {} MB with the events, {} MB with the engine too, {} MB with the node's classes too",
        at_start / 1024,
        after_engine / 1024,
        after_node / 1024
    )?;
    for (name, there, back) in trials()? {
        let mut times: [Vec<Duration>; 4] = Default::default();
        let mut updates = Vec::new();
        for round in 0..2 * ROUNDS {
            let events = if round % 2 == 0 { &there } else { &back }.clone();
            let start = Instant::now();
            let changes = engine.apply(events);
            let resolved = Instant::now();
            let delta = node.take(&changes);
            let rendered = Instant::now();
            updates.push(live.update_by(&mut sink, &delta)?);
            let planned = Instant::now();
            times[0].push(planned - start);
            times[1].push(resolved - start);
            times[2].push(rendered - resolved);
            times[3].push(planned - rendered);
        }
        let [all, engine_time, render_time, plan_time] = times.map(spread);
        let ways = |wanted| updates.iter().filter(|update| **update == wanted).count();
        writeln!(
            out,
            "{name}: {all}; engine {engine_time}; render {render_time}; plan and write {plan_time}; in place {}, switches {}",
            ways(Update::Increment),
            ways(Update::Switch)
        )?;
        let naive = naive(
            &mut engine,
            &mut node,
            &mut live,
            &mut sink,
            [&there, &back],
        )?;
        writeln!(out, "  the naive way: {naive}")?;
    }
    writeln!(out, "{} bytes of transactions", sink.written)?;
    Ok(())
}

/// The same events, with the whole graph rendered and compared with what is in force.
fn naive(
    engine: &mut Engine,
    node: &mut Node,
    live: &mut Live,
    sink: &mut Sink,
    ways: [&Vec<Event>; 2],
) -> Result<String, Failure> {
    let mut times = Vec::new();
    for _ in 0..NAIVE_ROUNDS {
        for events in ways {
            let start = Instant::now();
            let changes = engine.apply(events.iter().cloned());
            let ruleset = render(&engine.graph(), NODE, &Config::default())?;
            live.update(sink, &ruleset)?;
            times.push(start.elapsed());
            node.take(&changes);
        }
    }
    Ok(spread(times))
}

/// What is tried: events, and those that undo them.
type Trial = (&'static str, Vec<Event>, Vec<Event>);

fn trials() -> Result<Vec<Trial>, Failure> {
    let peer = events(vec![pod("extra", "group-3", "node-b", 0x0c00_0001)])?;
    let moved = events(vec![pod("extra", "group-3", "node-b", 0x0c00_0002)])?;
    let local = events(vec![pod("local-extra", "class-7", NODE, 0x0c00_0003)])?;
    let gone = |events: &[Event]| -> Vec<Event> {
        let gone = events.iter().filter_map(|event| match event {
            Event::Pod(Pod { id, .. }) => Some(Event::PodGone(id.clone())),
            _ => None,
        });
        gone.collect()
    };
    let rules = |ports: &[Value]| events(vec![policy(7, ports)]);
    let plain = rules(&[json!({ "port": 8080 })])?;
    let more = rules(&[json!({ "port": 8080 }), json!({ "port": 8081 })])?;
    let wide = rules(&[
        json!({ "port": 8080 }),
        json!({ "port": 30000, "endPort": 30999 }),
    ])?;
    Ok(vec![
        (
            "a peer of ten classes comes or goes",
            peer.clone(),
            gone(&peer),
        ),
        ("a peer of ten classes gets another address", peer, moved),
        ("a local pod comes or goes", local.clone(), gone(&local)),
        ("a policy gets a port more or less", more, plain.clone()),
        ("a policy gets a range of ports or loses it", wide, plain),
    ])
}

fn cluster() -> Vec<Value> {
    let mut objects = Vec::with_capacity(PODS + 2 * CLASSES);
    for class in 0..CLASSES {
        objects.push(policy(class, &[json!({ "port": 8080 })]));
        let address = 0x0b00_0000 + u32::try_from(class).unwrap_or_default();
        objects.push(pod(
            &format!("local-{class}"),
            &format!("class-{class}"),
            NODE,
            address,
        ));
    }
    for number in 0..PODS - CLASSES {
        let app = if number < GROUPS * PEERS {
            format!("group-{}", number % GROUPS)
        } else {
            format!("other-{}", number % 1_000)
        };
        let address = 0x0a00_0000 + u32::try_from(number).unwrap_or_default();
        objects.push(pod(&format!("pod-{number}"), &app, "node-b", address));
    }
    objects
}

fn pod(name: &str, app: &str, node: &str, address: u32) -> Value {
    json!({
        "kind": "Pod",
        "metadata": { "namespace": "shop", "name": name, "labels": { "app": app } },
        "spec": { "nodeName": node, "containers": [] },
        "status": { "podIPs": [{ "ip": std::net::Ipv4Addr::from_bits(address).to_string() }] },
    })
}

fn policy(class: usize, ports: &[Value]) -> Value {
    let group = format!("group-{}", class % GROUPS);
    let peers = json!([{ "podSelector": { "matchLabels": { "app": group } } }]);
    let block = json!([{ "ipBlock": { "cidr": "198.51.100.0/24" } }]);
    json!({
        "kind": "NetworkPolicy",
        "metadata": { "namespace": "shop", "name": format!("policy-{class}") },
        "spec": {
            "podSelector": { "matchLabels": { "app": format!("class-{class}") } },
            "ingress": [
                { "from": peers, "ports": ports },
                { "from": block },
                { "ports": [{ "port": 9000 }] },
            ],
        },
    })
}

fn events(objects: Vec<Value>) -> Result<Vec<Event>, Failure> {
    let cluster = Objects::read(objects)
        .map_err(|error| error.to_string())?
        .cluster();
    let pods = cluster.pods().values();
    let pods = pods.map(|pod| Event::Pod(Pod::clone(pod)));
    let policies = cluster.policies().values();
    let policies = policies.map(|policy| Event::Policy(policy.as_ref().clone()));
    Ok(policies.chain(pods).collect())
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!("p50 {:?}, p99 {:?}", at(50), at(99))
}

/// The memory of this process, in kB.
fn resident() -> Result<usize, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number
        .ok_or("the kernel does not tell the memory")?
        .parse()?)
}

/// A kernel that takes every transaction and writes it as text.
#[derive(Default)]
struct Sink {
    written: usize,
}

impl Kernel for Sink {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        self.written += transaction.to_string().len();
        Ok(())
    }

    fn check(&self, _: &Transaction) -> Result<(), ApplyError> {
        Ok(())
    }

    fn list(&self, _: &Name) -> Result<Option<InForce>, ApplyError> {
        Ok(None)
    }

    fn outline(&self, _: &Name) -> Result<Option<InForce>, ApplyError> {
        Ok(None)
    }

    fn clear_marks(&mut self, _: MarkBits) -> Result<(), ApplyError> {
        Ok(())
    }
}
