//! Measures the agent's store without an API server: a cluster of 100,000 pods, 11,111 namespaces and 75,000 policies is
//! handed to it as the watches would, and put in force in the network namespace that this runs in; then one change after
//! the other. Prints tables for `docs/benchmarks.md`: `store [PODS POLICIES]`. Root, in a namespace of its own.

#[path = "../../../nft-backend/examples/scale/profile.rs"]
#[allow(dead_code, reason = "the other profile is another program's")]
mod profile;
mod timed;

use std::error::Error;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use nft_backend::config::Config;
use nft_backend::lock::Lock;
use nft_backend::netlink::Netlink;
use nft_backend::nft::Nft;
use nft_backend::notifications::Notifications;
use nopal_agent::dataplane::{Dataplane, remove};
use nopal_agent::enforcer::Enforcer;
use nopal_agent::kind::Kind;
use nopal_agent::status::Shared;
use nopal_agent::watch::{Batch, Change, Identity, Trouble};
use policy_core::policy::{PortSpec, Ports, Rule};
use policy_core::{Cluster, Event, Node, Pod, Policy, Protocol};
use profile::NODE;
use timed::Timed;

/// Changes of each sort.
const ROUNDS: usize = 1_000;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (pods, policies) = match arguments.as_slice() {
        [] => (100_000, 75_000),
        [pods, policies] => (pods.parse()?, policies.parse()?),
        _ => return Err("usage: store [PODS POLICIES]".into()),
    };
    let out = &mut io::stdout();
    let config = Config::for_table("nopal_measured")?;
    let nft = Nft::new();
    let _lock = Lock::take(&nft, &config.table)?;
    let notices = Notifications::of(&nft, &config.table)?;
    let kernel = Timed::new(Netlink::beside(nft.clone()));
    let in_kernel = kernel.clock();
    let dataplane = Dataplane::new(NODE, config.clone(), kernel, notices)?;
    let shared = Shared::new(NODE);
    let mut enforcer = Enforcer::new(NODE, dataplane, shared.clone());

    let cluster = profile::mix(pods, policies);
    let samples = Samples::of(&cluster);
    let batches = batches(&cluster);
    drop(cluster);
    let begun = Instant::now();
    enforcer.sync(batches)?;
    let (whole, kernel) = (begun.elapsed(), in_kernel.take());
    let counts = &shared.document()["counts"];
    writeln!(
        out,
        "| pods | namespaces | policies | chains, sets, elements of the node | start to in force | of it in the kernel | resident MiB | at its highest |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    writeln!(
        out,
        "| {} | {} | {} | {}, {}, {} | {} | {} | {} | {} |\n",
        counts["pods"],
        counts["namespaces"],
        counts["policies"],
        counts["chains"],
        counts["sets"],
        counts["elements"],
        milliseconds(whole),
        milliseconds(kernel),
        mebibytes("VmRSS")?,
        mebibytes("VmHWM")?,
    )?;

    writeln!(
        out,
        "| change | made | before the kernel, p50 | p99 | with the kernel, p50 | p99 |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for (name, kind, events) in samples.trials() {
        let mut times = [Vec::new(), Vec::new()];
        for event in events {
            let begun = Instant::now();
            enforcer.sync(vec![batch(kind, vec![event], false)])?;
            let whole = begun.elapsed();
            times[0].push(whole.saturating_sub(in_kernel.take()));
            times[1].push(whole);
        }
        let made = times[0].len();
        let [before, with] = times.map(|mut times| {
            times.sort();
            [50, 99].map(|percent| milliseconds(times[(made - 1) * percent / 100]))
        });
        writeln!(
            out,
            "| {name} | {made} | {} | {} | {} | {} |",
            before[0], before[1], with[0], with[1]
        )?;
    }
    drop(enforcer);
    remove(&mut Netlink::beside(nft), &config)?;
    Ok(())
}

/// Objects that change.
struct Samples {
    near: Vec<Pod>,
    far: Vec<Pod>,
    policies: Vec<Policy>,
}

impl Samples {
    /// Pods of the node, pods from all over the cluster, and policies that select pods of the node.
    fn of(cluster: &Cluster) -> Self {
        let pods = || cluster.pods().values().map(|pod| Pod::clone(pod));
        let is_near = |pod: &Pod| pod.node.as_deref() == Some(NODE);
        let near: Vec<Pod> = pods().filter(is_near).take(ROUNDS).collect();
        let stride = (cluster.pods().len() / ROUNDS).max(1);
        let far = pods().filter(|pod| !is_near(pod)).step_by(stride);
        let selects = |policy: &Policy| {
            near.iter().any(|pod| {
                pod.id.namespace == policy.id.namespace && policy.subjects.matches(&pod.labels)
            })
        };
        let policies = cluster.policies().values();
        let policies = policies.map(|policy| Policy::clone(policy));
        let has_rules = |policy: &Policy| !policy.ingress.is_empty();
        Self {
            far: far.take(ROUNDS).collect(),
            policies: policies
                .filter(|policy| has_rules(policy) && selects(policy))
                .take(ROUNDS)
                .collect(),
            near,
        }
    }

    /// What is tried; each leaves the cluster as it was.
    fn trials(self) -> Vec<(&'static str, Kind, Vec<Event>)> {
        let there_and_back = |there: Vec<Event>, back: Vec<Event>| -> Vec<Event> {
            let both = there.into_iter().zip(back);
            both.flat_map(|(there, back)| [there, back]).collect()
        };
        let pods = |pods: &[Pod]| pods.iter().cloned().map(Event::Pod).collect::<Vec<_>>();
        let moved = self.far.iter().cloned().map(|mut pod| {
            pod.addresses = vec![std::net::Ipv4Addr::new(172, 16, 0, 1).into()];
            Event::Pod(pod)
        });
        let gone = self.near.iter().map(|pod| Event::PodGone(pod.id.clone()));
        let wider = self.policies.iter().cloned().map(|mut policy| {
            policy.ingress.push(Rule::Allow {
                peers: policy_core::policy::Peers::Everyone,
                ports: Ports::Listed(vec![PortSpec::Range(Protocol::Tcp, 9_000, 9_000)]),
            });
            Event::Policy(policy)
        });
        let policies = self.policies.iter().cloned().map(Event::Policy).collect();
        vec![
            (
                "a pod anywhere in the cluster gets another address",
                Kind::Pods,
                there_and_back(moved.collect(), pods(&self.far)),
            ),
            (
                "a pod of the node goes or comes",
                Kind::Pods,
                there_and_back(gone.collect(), pods(&self.near)),
            ),
            (
                "a policy of the node gets a rule more or less",
                Kind::Policies,
                there_and_back(wider.collect(), policies),
            ),
        ]
    }
}

/// The cluster as the watches tell it at first.
fn batches(cluster: &Cluster) -> Vec<Batch> {
    let namespaces = cluster.namespaces().values().cloned();
    let namespaces = namespaces.map(Event::Namespace);
    let pods = cluster.pods().values();
    let pods = pods.map(|pod| Event::Pod(Pod::clone(pod)));
    let policies = cluster.policies().values();
    let policies = policies.map(|policy| Event::Policy(Policy::clone(policy)));
    let node = Event::Node(Node {
        name: NODE.into(),
        addresses: Vec::new(),
    });
    vec![
        batch(Kind::Namespaces, namespaces.collect(), true),
        batch(Kind::Nodes, vec![node], true),
        batch(Kind::Pods, pods.collect(), true),
        batch(Kind::Policies, policies.collect(), true),
    ]
}

fn batch(kind: Kind, events: Vec<Event>, is_complete: bool) -> Batch {
    let change = |event: Event| Change {
        identity: identity(&event),
        event: Some(event),
        version: 1,
        trouble: Trouble::None,
    };
    Batch {
        kind,
        changes: events.into_iter().map(change).collect(),
        is_complete,
        received: Instant::now(),
        ticket: 0,
    }
}

fn identity(event: &Event) -> Identity {
    let (namespace, name) = match event {
        Event::Pod(pod) => (&*pod.id.namespace, &*pod.id.name),
        Event::Policy(policy) => (&*policy.id.namespace, &*policy.id.name),
        Event::Namespace(namespace) => ("", namespace.name.as_ref()),
        _ => ("", ""),
    };
    Identity {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: "5a8d1f6e-0000-4000-8000-000000000001".to_owned(),
        generation: 1,
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1_000.0)
}

/// A figure of this process's memory as the kernel counts it (`VmRSS` now, `VmHWM` at its highest).
fn mebibytes(figure: &str) -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(figure));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(number.ok_or("no such figure")?.parse::<u64>()? / 1024)
}
