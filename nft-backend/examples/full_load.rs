//! Measures a full load of 100,000 elements, 400 chains and 600 sets in a network namespace:
//! `full_load NAMESPACE` prints how long each step takes, through JSON and through text.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nft_backend::class::{Class, Classes, Dispatch, Grant, Ports};
use nft_backend::config::Config;
use nft_backend::element::{PeerPorts, ProtocolPorts};
use nft_backend::kernel::Kernel;
use nft_backend::layout::lay_out;
use nft_backend::load::{StandingFlows, load, plan};
use nft_backend::names::Label;
use nft_backend::nft::Nft;
use nft_backend::transaction::{Target, Transaction};
use nft_backend::value::{AddressRange, PortRange, Protocol};

/// Two hundred classes with three sets each make 600 sets and, with their reversed ones, 400 chains.
const CLASSES: u32 = 200;
const PEERS: u32 = 498;
const PODS: u32 = 250;
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let namespace = std::env::args()
        .nth(1)
        .ok_or("usage: full_load NAMESPACE")?;
    let config = Config::for_table("nopal_measured")?;
    let classes = classes()?;
    let start = Instant::now();
    let ruleset = lay_out(&config, &classes)?;
    let laid_out = start.elapsed();
    let start = Instant::now();
    let planned = plan(&ruleset, &config, None, StandingFlows::Recheck)?;
    let planning = start.elapsed();
    let start = Instant::now();
    let json = planned.create.to_json();
    let writing_json = start.elapsed();
    let start = Instant::now();
    let text = planned.create.to_string();
    let writing_text = start.elapsed();
    let elements: usize = ruleset.sets.values().map(|set| set.elements.len()).sum();
    let mut out = io::stdout();
    writeln!(
        out,
        "{elements} elements, {} sets, {} chains",
        ruleset.sets.len(),
        ruleset.chains.len()
    )?;
    writeln!(out, "lay out {laid_out:?}, plan {planning:?}")?;
    writeln!(out, "write JSON {writing_json:?} ({} bytes)", json.len())?;
    writeln!(out, "write text {writing_text:?} ({} bytes)", text.len())?;

    let mut kernel = Nft::new().in_namespace(&namespace);
    let mut remove = Transaction::new(config.table.clone());
    remove.delete(Target::Table);
    let mut times: [Vec<Duration>; 6] = Default::default();
    for _ in 0..ROUNDS {
        times[0].push(timed(|| run_text(&namespace, &text))?);
        kernel.apply(&remove)?;
        times[1].push(timed(|| Ok(kernel.apply(&planned.create)?))?);
        times[2].push(timed(|| Ok(kernel.apply(&planned.switch)?))?);
        times[3].push(timed(|| Ok(kernel.list(&config.table).map(|_| ())?))?);
        times[4].push(timed(|| Ok(kernel.outline(&config.table).map(|_| ())?))?);
        let mut reload = || load(&mut kernel, &ruleset, &config, StandingFlows::Recheck);
        times[5].push(timed(|| Ok(reload().map(|_| ())?))?);
        kernel.apply(&remove)?;
    }
    let names = [
        "create as text",
        "create as JSON",
        "switch",
        "list",
        "outline",
        "the whole of a reload",
    ];
    for (name, mut times) in names.into_iter().zip(times) {
        times.sort();
        writeln!(out, "{name}: median {:?} of {ROUNDS}", times[ROUNDS / 2])?;
    }
    Ok(())
}

fn timed(
    work: impl FnOnce() -> Result<(), Box<dyn std::error::Error>>,
) -> Result<Duration, Box<dyn std::error::Error>> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

fn run_text(namespace: &str, text: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut child = Command::new("ip")
        .args(["netns", "exec", namespace, "nft", "-f", "-"])
        .stdin(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .ok_or("no input")?
        .write_all(text.as_bytes())?;
    if child.wait()?.success() {
        Ok(())
    } else {
        Err("nft refused the text".into())
    }
}

fn classes() -> Result<Classes, Box<dyn std::error::Error>> {
    let mut classes = Classes::default();
    for number in 0..CLASSES {
        let peer = |index: u32| {
            AddressRange::single(Ipv4Addr::from_bits(0x0a00_0000 + number * PEERS + index).into())
        };
        let (protocol, ports) = (Protocol::Tcp, PortRange::single(8080));
        let peers: BTreeSet<PeerPorts> = (0..PEERS)
            .map(|index| PeerPorts {
                peer: peer(index),
                protocol,
                ports,
            })
            .collect();
        let wide = PortRange::new(30000, 30010).ok_or("a range is written the wrong way round")?;
        let block = AddressRange::prefix(Ipv4Addr::new(192, 168, 0, 0).into(), 16);
        let block = PeerPorts {
            peer: block.ok_or("no such prefix")?,
            protocol,
            ports: wide,
        };
        let dns = ProtocolPorts {
            protocol: Protocol::Udp,
            ports: PortRange::single(53),
        };
        let grants = vec![
            Grant::PeerPorts(peers),
            Grant::PeerPorts(BTreeSet::from([block])),
            Grant::Everyone(Ports::Only(BTreeSet::from([dns]))),
        ];
        classes.ingress.insert(
            label(number)?,
            Class {
                audited: false,
                grants,
                comment: Vec::new(),
            },
        );
    }
    for pod in 0..PODS {
        let address = Ipv4Addr::from_bits(0x0b00_0000 + pod).into();
        let ingress = Some(label(pod % CLASSES)?);
        classes.pods.insert(
            address,
            Dispatch {
                ingress,
                egress: None,
            },
        );
    }
    Ok(classes)
}

fn label(number: u32) -> Result<Label, Box<dyn std::error::Error>> {
    Ok(Label::new(&format!("c{number}"))?)
}
