//! Measures changes of a table with 100,000 elements, 400 class chains and 600 sets by netlink and by the nft program, in
//! turns: `commit NAMESPACE` makes that network namespace's table and prints what each change takes, and what a listener
//! adds to a load.

mod listened;
#[path = "../measured/mod.rs"]
mod measured;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use nft_backend::config::Config;
use nft_backend::element::{Element, PeerPorts};
use nft_backend::generation::{Generation, MarkBits};
use nft_backend::kernel::Kernel;
use nft_backend::layout::lay_out;
use nft_backend::load::{Load, StandingFlows, plan};
use nft_backend::names::Name;
use nft_backend::netlink::Netlink;
use nft_backend::nft::Nft;
use nft_backend::statement::Rule;
use nft_backend::transaction::{Command, Object, Target, Transaction};
use nft_backend::value::{AddressRange, PortRange, Protocol};
use nft_backend::vocabulary::ct_mark_set;

/// Full loads, each way.
const LOADS: usize = 5;
/// Small changes by netlink; nft makes one after each fiftieth.
const CHANGES: u32 = 2000;
const BETWEEN: u32 = 50;

type Failure = Box<dyn std::error::Error>;
/// By netlink, and by nft.
type Times = [Vec<Duration>; 2];

fn main() -> Result<(), Failure> {
    let namespace = std::env::args().nth(1).ok_or("usage: commit NAMESPACE")?;
    let config = Config::for_table("nopal_measured")?;
    let ruleset = lay_out(&config, &measured::classes()?)?;
    let load = plan(&ruleset, &config, None, StandingFlows::Recheck)?;
    let nft = Nft::new().in_namespace(&namespace);
    let mut ways = Ways {
        netlink: Netlink::beside(nft.clone()),
        nft,
    };
    let elements: usize = ruleset.sets.values().map(|set| set.elements.len()).sum();
    let mut out = io::stdout();
    let (sets, chains) = (ruleset.sets.len(), ruleset.chains.len());
    writeln!(out, "{elements} elements, {sets} sets, {chains} chains\n")?;
    writeln!(
        out,
        "| change | way | p50 | p99 | of |\n|---|---|---|---|---|"
    )?;
    let mut row = |change: &str, times: Times| {
        ["netlink", "nft"]
            .into_iter()
            .zip(times)
            .try_for_each(|(way, mut times)| {
                times.sort();
                let at = |percent: usize| times[(times.len() - 1) * percent / 100];
                let (half, most) = (at(50), at(99));
                writeln!(
                    out,
                    "| {change} | {way} | {half:?} | {most:?} | {} |",
                    times.len()
                )
            })
    };
    row("full load", ways.full_loads(&load)?)?;
    ways.netlink.apply(&load.create)?;
    ways.netlink.apply(&load.switch)?;
    let [add, delete] = one_element(&config.table)?;
    row(
        "one element",
        ways.small_changes(|number| if number % 2 == 0 { &add } else { &delete })?,
    )?;
    let bumps = [bump(&config.table, 2)?, bump(&config.table, 3)?];
    row(
        "generation",
        ways.small_changes(|number| &bumps[number as usize % 2])?,
    )?;
    ways.netlink.apply(&remove(&config.table))?;
    listened::measure(&mut out, &ways.nft, &load)
}

struct Ways {
    netlink: Netlink,
    nft: Nft,
}

impl Ways {
    fn full_loads(&mut self, load: &Load) -> Result<Times, Failure> {
        let (mut times, remove) = (Times::default(), remove(&load.create.table));
        for _ in 0..LOADS {
            let kernels: [&mut dyn Kernel; 2] = [&mut self.netlink, &mut self.nft];
            for (kernel, times) in kernels.into_iter().zip(&mut times) {
                times.push(timed(kernel, &load.create)?);
                kernel.apply(&remove)?;
            }
        }
        Ok(times)
    }

    fn small_changes<'a>(
        &mut self,
        change: impl Fn(u32) -> &'a Transaction,
    ) -> Result<Times, Failure> {
        let mut times = Times::default();
        for number in 0..CHANGES {
            times[0].push(timed(&mut self.netlink, change(number))?);
            if number % BETWEEN < 2 {
                // Undone and made again, so that netlink goes on from where it was.
                times[1].push(timed(&mut self.nft, change(number + 1))?);
                times[1].push(timed(&mut self.nft, change(number))?);
            }
        }
        Ok(times)
    }
}

fn timed(kernel: &mut dyn Kernel, transaction: &Transaction) -> Result<Duration, Failure> {
    let start = Instant::now();
    kernel.apply(transaction)?;
    Ok(start.elapsed())
}

fn remove(table: &Name) -> Transaction {
    let mut transaction = Transaction::new(table.clone());
    transaction.delete(Target::Table);
    transaction
}

fn one_element(table: &Name) -> Result<[Transaction; 2], Failure> {
    let set = Name::new("i_c0_h4_e1")?;
    let element = Element::PeerPort(PeerPorts {
        peer: AddressRange::single(Ipv4Addr::new(12, 0, 0, 1).into()),
        protocol: Protocol::Tcp,
        ports: PortRange::single(8080),
    });
    let elements = BTreeSet::from([element]);
    let [mut add, mut delete] = [(); 2].map(|()| Transaction::new(table.clone()));
    let (same_set, same) = (set.clone(), elements.clone());
    add.add(Object::Elements { set, elements });
    delete.delete(Target::Elements {
        set: same_set,
        elements: same,
    });
    Ok([add, delete])
}

/// What a bump of the generation writes: the one element of a set, and the one rule of a chain.
fn bump(table: &Name, bumps: u32) -> Result<Transaction, Failure> {
    let bits = MarkBits::DEFAULT;
    let generation = (0..bumps).fold(Generation::FIRST, |generation, _| bits.next(generation));
    let (set, chain) = (Name::new("generation_e1")?, Name::new("write_mark_e1")?);
    let mut transaction = Transaction::new(table.clone());
    transaction.commands.push(Command::FlushSet(set.clone()));
    let elements = BTreeSet::from([Element::Mark(bits.value(generation))]);
    transaction.add(Object::Elements { set, elements });
    transaction.flush_chain(chain.clone());
    let rule = Rule::new([ct_mark_set(bits, generation)]);
    transaction.add(Object::Rule { chain, rule });
    Ok(transaction)
}
