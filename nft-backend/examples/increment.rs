//! Measures changes of a table with 100,000 elements and 400 class chains in a network namespace:
//! `increment NAMESPACE` prints how long a change takes, and how much of that is finding the difference.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use nft_backend::class::{Class, Classes, Dispatch, Grant};
use nft_backend::config::Config;
use nft_backend::diff::diff;
use nft_backend::element::PeerPorts;
use nft_backend::layout::lay_out;
use nft_backend::live::Live;
use nft_backend::names::Label;
use nft_backend::nft::Nft;
use nft_backend::ruleset::Ruleset;
use nft_backend::value::{AddressRange, PortRange, Protocol};

/// With their reversed ones, 400 chains.
const CLASSES: u32 = 200;
const PEERS: u32 = 500;
const PODS: u32 = 250;
/// The classes whose peer one pod is.
const TOUCHED: u32 = 10;
const ROUNDS: usize = 50;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let namespace = std::env::args()
        .nth(1)
        .ok_or("usage: increment NAMESPACE")?;
    let config = Config::for_table("nopal_measured")?;
    let table = |change| Ok::<_, Failure>(lay_out(&config, &classes(change)?)?);
    let plain = table(Change::None)?;
    let changed = [
        (
            "a pod becomes a peer of ten classes, or ceases to be",
            table(Change::Peer)?,
        ),
        ("a pod comes to a class, or goes", table(Change::Pod)?),
        (
            "a class gets a range of ports, or loses it",
            table(Change::Rules)?,
        ),
    ];
    let mut kernel = Nft::new().in_namespace(&namespace);
    let mut live = Live::new(config.clone());
    live.update(&mut kernel, &plain)?;
    let mut out = io::stdout();
    for (name, other) in changed {
        let (mut finding, mut whole) = (Vec::new(), Vec::new());
        let mut kinds = BTreeSet::new();
        for _ in 0..ROUNDS {
            for desired in [&other, &plain] {
                finding.push(time_of_diff(&live, desired)?);
                let start = Instant::now();
                kinds.insert(format!("{:?}", live.update(&mut kernel, desired)?));
                whole.push(start.elapsed());
            }
        }
        writeln!(
            out,
            "{name} ({kinds:?}): {}; the difference {}",
            spread(whole),
            spread(finding)
        )?;
    }
    Ok(())
}

fn time_of_diff(live: &Live, desired: &Ruleset) -> Result<Duration, Failure> {
    let contents = live.contents().ok_or("nothing is in force")?;
    let start = Instant::now();
    diff(contents, desired)?;
    Ok(start.elapsed())
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!("p50 {:?}, p99 {:?}", at(50), at(99))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Peer,
    Pod,
    Rules,
}

fn classes(change: Change) -> Result<Classes, Failure> {
    let mut classes = Classes::default();
    for number in 0..CLASSES {
        let first = 0x0a00_0000 + number * PEERS;
        let mut peers: BTreeSet<PeerPorts> = (first..first + PEERS)
            .map(|bits| allowed(bits, PortRange::single(8080)))
            .collect();
        if change == Change::Peer && number < TOUCHED {
            peers.insert(allowed(0x0c00_0001, PortRange::single(8080)));
        }
        if change == Change::Rules && number == 0 {
            let wide =
                PortRange::new(30000, 30999).ok_or("a range is written the wrong way round")?;
            peers.insert(allowed(0x0c00_0001, wide));
        }
        let class = Class {
            audited: false,
            grants: vec![Grant::PeerPorts(peers)],
            comment: Vec::new(),
        };
        classes.ingress.insert(label(number)?, class);
    }
    for pod in 0..PODS + u32::from(change == Change::Pod) {
        let dispatch = Dispatch {
            ingress: Some(label(pod % CLASSES)?),
            egress: None,
        };
        let address = Ipv4Addr::from_bits(0x0b00_0000 + pod).into();
        classes.pods.insert(address, dispatch);
    }
    Ok(classes)
}

fn allowed(bits: u32, ports: PortRange) -> PeerPorts {
    PeerPorts {
        peer: AddressRange::single(Ipv4Addr::from_bits(bits).into()),
        protocol: Protocol::Tcp,
        ports,
    }
}

fn label(number: u32) -> Result<Label, Failure> {
    Ok(Label::new(&format!("c{number}"))?)
}
