//! Measures what one event costs, from the event to the kernel, on a node with 100,000 elements, 400 chains and 600 sets
//! in a cluster of 100,000 pods: `delta NAMESPACE` makes that network namespace's table and changes it by netlink. Beside
//! it, in the same run, the naive way: render the graph anew, compare, and start nft. And in turns with the events, a
//! transaction without a change: how far its p99 is from its p50 is the machine's doing. Somebody listens to changes of
//! tables meanwhile, as in an agent, so the kernel tells each element.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use nft_backend::config::Config;
use nft_backend::kernel::Kernel;
use nft_backend::live::{Live, Update};
use nft_backend::netlink::Netlink;
use nft_backend::nft::Nft;
use nft_backend::node::Node;
use nft_backend::notifications::{Notices, Notifications};
use nft_backend::render::render;
use nft_backend::transaction::{Object, Target, Transaction};
use policy_core::Pod;
use policy_core::incremental::{Engine, Event};
use policy_core::testing::Objects;
use serde_json::{Value, json};

/// With their reversed ones, 400 chains; with three sets each, 600 sets.
const CLASSES: usize = 200;
/// Each class may be reached by one group of peers, so that a peer of a group is one of ten classes, and by pods that
/// are peers of it alone.
const GROUPS: usize = 20;
const PEERS: usize = 500;
const PODS: usize = 100_000;
const ROUNDS: usize = 1_000;
const NAIVE_ROUNDS: usize = 5;
const NODE: &str = "node-a";

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let namespace = std::env::args().nth(1).ok_or("usage: delta NAMESPACE")?;
    let mut out = io::stdout();
    let config = Config::for_table("nopal_measured")?;
    let nft = Nft::new().in_namespace(&namespace);
    let mut measured = Measured {
        engine: Engine::new(NODE),
        node: Node::new(config.clone())?,
        live: Live::new(config.clone()),
        netlink: Netlink::beside(nft.clone()),
        idle: Netlink::beside(nft.clone()),
        notices: Notifications::of(&nft, &config.table)?,
        nft,
        config,
    };
    let changes = measured.engine.apply(events(cluster())?);
    measured.node.take(&changes);
    let ruleset = measured.node.ruleset()?;
    measured.live.update(&mut measured.netlink, &ruleset)?;
    let elements: usize = ruleset.sets.values().map(|set| set.elements.len()).sum();
    writeln!(
        out,
        "{elements} elements, {} chains, {} sets; {PODS} pods in the cluster\n",
        ruleset.chains.len(),
        ruleset.sets.len(),
    )?;
    writeln!(
        out,
        "| event | p50 | p99 | graph p50 | rules p50 | plan and kernel p50 | in place, of {} | marks cleared ahead, longest | nothing p50 | nothing p99 | naive p50 |",
        2 * ROUNDS
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|---|")?;
    for (name, there, back) in trials()? {
        let row = measured.by_delta(&there, &back)?;
        let naive = measured.naively([&there, &back])?;
        writeln!(out, "| {name} | {row} | {naive} |")?;
    }
    let mut remove = Transaction::new(measured.config.table.clone());
    remove.delete(Target::Table);
    measured.netlink.apply(&remove)?;
    Ok(())
}

struct Measured {
    engine: Engine,
    node: Node,
    live: Live,
    netlink: Netlink,
    /// For transactions that change nothing, so that the other one's knowledge of the table stays as it is.
    idle: Netlink,
    notices: Notifications,
    nft: Nft,
    config: Config,
}

impl Measured {
    fn by_delta(&mut self, there: &[Event], back: &[Event]) -> Result<String, Failure> {
        let mut times: [Vec<Duration>; 5] = Default::default();
        let (mut in_place, mut ahead) = (0, Duration::ZERO);
        let nothing = nothing(&self.config);
        for round in 0..2 * ROUNDS {
            let events = if round % 2 == 0 { there } else { back }.to_vec();
            let start = Instant::now();
            let changes = self.engine.apply(events);
            let resolved = Instant::now();
            let delta = self.node.take(&changes);
            let rendered = Instant::now();
            let update = self.live.update_by(&mut self.netlink, &delta)?;
            let done = Instant::now();
            in_place += usize::from(update == Update::Increment);
            // The agent does this after whoever waited for the change has been told.
            let begin = Instant::now();
            self.live.clear_ahead(&mut self.netlink)?;
            ahead = ahead.max(begin.elapsed());
            let begin = Instant::now();
            self.idle.apply(&nothing)?;
            let idle = begin.elapsed();
            self.notices.read()?;
            let parts = [
                done - start,
                resolved - start,
                rendered - resolved,
                done - rendered,
                idle,
            ];
            for (times, part) in times.iter_mut().zip(parts) {
                times.push(part);
            }
        }
        let [all, graph, rules, kernel, idle] = times.map(|mut times| {
            times.sort();
            times
        });
        Ok(format!(
            "{:?} | {:?} | {:?} | {:?} | {:?} | {in_place} | {ahead:?} | {:?} | {:?}",
            at(&all, 50),
            at(&all, 99),
            at(&graph, 50),
            at(&rules, 50),
            at(&kernel, 50),
            at(&idle, 50),
            at(&idle, 99)
        ))
    }

    /// The same events, with the whole graph rendered and compared with what is in force, and the nft program.
    fn naively(&mut self, ways: [&Vec<Event>; 2]) -> Result<String, Failure> {
        let mut times = Vec::new();
        for _ in 0..NAIVE_ROUNDS {
            for events in ways {
                let start = Instant::now();
                let changes = self.engine.apply(events.iter().cloned());
                let ruleset = render(&self.engine.graph(), NODE, &self.config)?;
                self.live.update(&mut self.nft, &ruleset)?;
                times.push(start.elapsed());
                self.node.take(&changes);
            }
        }
        times.sort();
        Ok(format!("{:?}", at(&times, 50)))
    }
}

/// Makes the table that is there.
fn nothing(config: &Config) -> Transaction {
    let mut transaction = Transaction::new(config.table.clone());
    transaction.add(Object::Table);
    transaction
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

/// What is tried: events, and those that undo them.
type Trial = (&'static str, Vec<Event>, Vec<Event>);

fn trials() -> Result<Vec<Trial>, Failure> {
    let single = events(vec![pod("single", "only-150", "node-b", 0x0c00_0004)])?;
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
            "a peer of one class comes or goes",
            single.clone(),
            gone(&single),
        ),
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
    let apps = [group, format!("only-{class}")];
    let peers = apps.map(|app| json!({ "podSelector": { "matchLabels": { "app": app } } }));
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
