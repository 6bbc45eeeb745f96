//! Changes under traffic: what they lose, what they let through, and how long they take.

use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use nft_backend::config::Config;
use nft_backend::live::{Live, Update};
use nft_backend::netlink::Netlink;
use nft_backend::ruleset::Ruleset;
use nopal_lab::{Stream, Traffic};

use crate::bed::Bed;
use crate::policies::{CLIENT, Load, NODE, PORT, SERVER};
use crate::{Effort, Failure};

/// Datagrams a second, half of them on a flow that all states allow, half on one that none does.
const RATE: u32 = 100_000;

/// A kind of change, and the states between which it leads to and fro.
struct Kind {
    name: &'static str,
    states: [Load; 2],
    /// Whether the table is loaded as a whole each time.
    is_load: bool,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "elements: a peer comes and goes",
        states: [load(10, 100), load(10, 101)],
        is_load: false,
    },
    Kind {
        name: "a policy more and less for the pod",
        states: [load(10, 100), load(11, 100)],
        is_load: false,
    },
    Kind {
        name: "full load",
        states: [load(10, 100), load(11, 100)],
        is_load: true,
    },
];

const fn load(policies: usize, peers: usize) -> Load {
    Load { policies, peers }
}

pub(crate) fn measure(out: &mut dyn Write, effort: &Effort) -> Result<(), Failure> {
    writeln!(out, "### Changes under traffic, by netlink\n")?;
    writeln!(
        out,
        "| change | made | by | p50 | p99 | sent, a second | allowed and lost | denied and let through |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    for kind in &KINDS {
        row(out, kind, effort.swaps)?;
    }
    writeln!(out)?;
    Ok(())
}

fn row(out: &mut dyn Write, kind: &Kind, swaps: usize) -> Result<(), Failure> {
    let bed = Bed::build()?;
    let config = Config::default();
    let [first, second] = kind.states;
    let states: [Ruleset; 2] = [first.ruleset(&config)?, second.ruleset(&config)?];
    let mut kernel = Netlink::new().in_namespace(bed.lab.node_namespace(NODE)?.path());
    let mut live = Live::new(config);
    live.update(&mut kernel, &states[0])?;
    let (from, to): (IpAddr, IpAddr) = (CLIENT.parse()?, SERVER.parse()?);
    let streams = [PORT, PORT + 1].map(|port| Stream { from, to, port });
    let start = Instant::now();
    let traffic = Traffic::start(&bed.lab, &streams, RATE)?;
    let (mut times, mut ways) = (Vec::new(), Vec::<Update>::new());
    for state in states.iter().cycle().skip(1).take(swaps) {
        if kind.is_load {
            live.forget();
        }
        let start = Instant::now();
        let way = live.update(&mut kernel, state)?;
        times.push(start.elapsed());
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    let sending = start.elapsed();
    let [allowed, denied] = <[_; 2]>::try_from(traffic.stop()).map_err(|_| "two flows")?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = (allowed.sent + denied.sent) as f64 / sending.as_secs_f64();
    times.sort();
    let at = |percent: usize| milliseconds(times[(times.len() - 1) * percent / 100]);
    writeln!(
        out,
        "| {} | {swaps} | {ways:?} | {} | {} | {rate:.0} | {} of {} | {} of {} |",
        kind.name,
        at(50),
        at(99),
        allowed.sent - allowed.received,
        allowed.sent,
        denied.received,
        denied.sent
    )?;
    Ok(())
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
