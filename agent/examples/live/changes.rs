//! Changes at a steady rate, and when each was seen in the kernel.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::Failure;
use crate::api::Api;
use crate::objects::{Size, pod_path, policies_path, policy, policy_name, status};

/// The first address that changes give; each gives another one.
const FIRST_ADDRESS: u32 = 0x6440_0000;
/// The first port that changes give, and how many there are.
const PORTS: std::ops::Range<u16> = 10_000..60_000;

/// By what a change is known in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// An address that no pod had.
    Address(Ipv4Addr),
    /// A port that no policy had.
    Port(u16),
}

impl Mark {
    /// What the address of an element says.
    pub(crate) fn address(address: Ipv4Addr) -> Option<Self> {
        let is_given = address.to_bits() >> 22 == FIRST_ADDRESS >> 22;
        is_given.then_some(Self::Address(address))
    }

    /// What the port of an element says.
    pub(crate) fn port(port: u16) -> Option<Self> {
        PORTS.contains(&port).then_some(Self::Port(port))
    }
}

/// A change that was asked for.
pub(crate) struct Sent {
    mark: Mark,
    at: Instant,
    /// Whether it changes rules of the node.
    pub(crate) is_visible: bool,
}

/// Sends changes, so many a second: of ten, six give a peer of the node's policies another address, two change a policy
/// of the node, and two change pods that the node has nothing to do with.
pub(crate) async fn send(
    api: &Api,
    size: Size,
    rate: u32,
    seconds: u32,
) -> Result<Vec<Sent>, Failure> {
    let pods = |is_peer: bool| -> Vec<usize> {
        let pods = size.far_pods().filter(|(_, is)| *is == is_peer);
        pods.map(|(pod, _)| pod).collect()
    };
    let (peers, others) = (pods(true), pods(false));
    let homes: Vec<(usize, usize)> = size.near().collect();
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut requests = JoinSet::new();
    let mut sent = Vec::new();
    for number in 0..rate * seconds {
        ticks.tick().await;
        let index = usize::try_from(number)?;
        let (path, change, mark, is_visible) = match number % 10 {
            3 | 7 => policy_change(number, homes[index % homes.len()]),
            0 | 5 => pod_change(number, others[index % others.len()], false),
            _ => pod_change(number, peers[index % peers.len()], true),
        };
        sent.push(Sent {
            mark,
            at: Instant::now(),
            is_visible,
        });
        let api = api.clone();
        requests.spawn(async move {
            let done = api.patch(&path, &change).await;
            done.map_err(|error| error.to_string())
        });
    }
    while let Some(done) = requests.join_next().await {
        done??;
    }
    Ok(sent)
}

fn pod_change(number: u32, pod: usize, is_peer: bool) -> (String, Value, Mark, bool) {
    let address = Ipv4Addr::from_bits(FIRST_ADDRESS + number);
    let change = json!({ "status": status(address) });
    let path = format!("{}/status", pod_path(pod));
    (path, change, Mark::Address(address), is_peer)
}

/// This policy of this namespace gets another port.
fn policy_change(number: u32, (home, round): (usize, usize)) -> (String, Value, Mark, bool) {
    let many = u32::from(PORTS.end - PORTS.start);
    let port = PORTS.start + u16::try_from(number % many).unwrap_or_default();
    let path = format!("{}/{}", policies_path(home), policy_name(round));
    (path, policy(home, round, port), Mark::Port(port), true)
}

/// How long it took from each request to the kernel, shortest first, for those that were seen there.
pub(crate) fn latencies(sent: &[Sent], seen: &BTreeMap<Mark, Instant>) -> Vec<Duration> {
    let visible = sent.iter().filter(|sent| sent.is_visible);
    let mut latencies: Vec<Duration> = visible
        .filter_map(|sent| Some(seen.get(&sent.mark)?.saturating_duration_since(sent.at)))
        .collect();
    latencies.sort();
    latencies
}
