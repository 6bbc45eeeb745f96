//! What elements cost in the kernel, and what the engine of a node keeps.

#[expect(dead_code, reason = "only the mix is used")]
#[path = "../scale/profile.rs"]
mod profile;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::Ipv4Addr;

use nft_backend::config::Config;
use nft_backend::element::{Element, Key, PeerPorts};
use nft_backend::fake::FakeKernel;
use nft_backend::kernel::Kernel;
use nft_backend::live::Live;
use nft_backend::names::Name;
use nft_backend::nft::Nft;
use nft_backend::render::render;
use nft_backend::transaction::{Object, Target, Transaction};
use nft_backend::value::{AddressRange, Family, PortRange, Protocol};
use policy_core::incremental::{Engine, Event};

use crate::Failure;
use crate::bed::Bed;
use crate::policies::NODE;

const ELEMENTS: u32 = 100_000;
const PODS: usize = 100_000;
const POLICIES: usize = 75_000;

pub(crate) fn measure(out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "### Memory\n")?;
    writeln!(
        out,
        "Kernel memory (slab) of one element, from the difference that {ELEMENTS} of them make:\n"
    )?;
    writeln!(out, "| set | bytes |\n|---|---|")?;
    for (name, key, is_interval) in [
        (
            "address . protocol . port, hash",
            Key::PeerPort(Family::V4),
            false,
        ),
        (
            "address . protocol . port, intervals",
            Key::PeerPort(Family::V4),
            true,
        ),
    ] {
        writeln!(out, "| {name} | {} |", of_element(key, is_interval)?)?;
    }
    let [before, engine, table] = of_engine()?;
    writeln!(
        out,
        "\nThe engine of one node at {PODS} pods and {POLICIES} policies: {} MiB for the graph with all that it follows, \
         {} MiB more with the node's table as it is in force.\n",
        engine.saturating_sub(before),
        table.saturating_sub(engine)
    )?;
    Ok(())
}

/// What the set itself takes disappears among so many.
fn of_element(key: Key, interval: bool) -> Result<u64, Failure> {
    let bed = Bed::build()?;
    let mut kernel = Nft::new().in_namespace(bed.lab.node_namespace(NODE)?.path());
    let table = Name::table("nopal_measured")?;
    let set = Name::new("e_measured")?;
    let mut make = Transaction::new(table.clone());
    make.add(Object::Table);
    make.create(Object::Set {
        name: set.clone(),
        key,
        interval,
    });
    kernel.apply(&make)?;
    let before = kib("/proc/meminfo", "Slab:")?;
    let mut fill = Transaction::new(table.clone());
    let elements = (0..ELEMENTS).map(element).collect::<BTreeSet<Element>>();
    fill.add(Object::Elements { set, elements });
    kernel.apply(&fill)?;
    let after = kib("/proc/meminfo", "Slab:")?;
    let mut remove = Transaction::new(table);
    remove.delete(Target::Table);
    kernel.apply(&remove)?;
    Ok(after.saturating_sub(before) * 1024 / u64::from(ELEMENTS))
}

fn element(number: u32) -> Element {
    Element::PeerPort(PeerPorts {
        peer: AddressRange::single(Ipv4Addr::from_bits(0x0a00_0000 + number).into()),
        protocol: Protocol::Tcp,
        ports: PortRange::single(8080),
    })
}

/// Resident memory in MiB: at first, with the engine, and with the table besides.
fn of_engine() -> Result<[u64; 3], Failure> {
    let resident = || Ok::<u64, Failure>(kib("/proc/self/status", "VmRSS:")? / 1024);
    let before = resident()?;
    let mut engine = Engine::new(profile::NODE);
    engine.apply(events());
    let with_engine = resident()?;
    let config = Config::default();
    let mut live = Live::new(config.clone());
    let mut kernel = FakeKernel::new();
    live.update(
        &mut kernel,
        &render(&engine.graph(), profile::NODE, &config)?,
    )?;
    drop(kernel);
    Ok([before, with_engine, resident()?])
}

/// The cluster goes when its events are made.
fn events() -> Vec<Event> {
    let cluster = profile::mix(PODS, POLICIES);
    let namespaces = cluster.namespaces().values().cloned();
    let namespaces = namespaces.map(Event::Namespace);
    let pods = cluster
        .pods()
        .values()
        .map(|pod| Event::Pod(pod.as_ref().clone()));
    let policies = cluster.policies().values();
    let policies = policies.map(|policy| Event::Policy(policy.as_ref().clone()));
    namespaces.chain(pods).chain(policies).collect()
}

/// A figure of a file in /proc that counts in KiB.
fn kib(file: &str, figure: &str) -> Result<u64, Failure> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().find(|line| line.starts_with(figure));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(number.ok_or("no such figure")?.parse()?)
}
