//! What a packet and a connection cost under each way of filtering.
//!
//! Each turn of a row has a turn of connection tracking alone beside it, now before and now after; what is told is the
//! median of the differences of these pairs, so that what else the machine does, and what it does at other times, hits
//! both of a pair alike.

use std::io::Write;

use crate::bed::{Bed, Flow};
use crate::layouts::{Layout, has_iptables};
use crate::policies::Load;
use crate::{Effort, Failure, Spread, median};

/// What is measured.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Packets that all rules judge: nanoseconds.
    Evaluated,
    /// Packets of a flow that was answered: nanoseconds.
    Established,
    /// Connections a second.
    Connections,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Evaluated, Self::Established, Self::Connections];
}

/// A way of filtering, with its two pods.
struct Way {
    layout: Layout,
    bed: Bed,
    /// Never answered, and answered.
    flows: [Flow; 2],
}

/// What one way of filtering took, turn by turn, and connection tracking alone beside it; each by [`Kind`].
struct Row {
    way: Way,
    own: [Vec<f64>; 3],
    beside: [Vec<f64>; 3],
}

pub(crate) fn measure(out: &mut dyn Write, effort: &Effort) -> Result<(), Failure> {
    let with_iptables = has_iptables(&Bed::build()?.lab);
    let conntrack = Way::new(Layout::Conntrack)?;
    let mut rows = Vec::new();
    for layout in layouts(with_iptables) {
        rows.push(Row::new(layout)?);
    }
    for round in 0..effort.rounds {
        for row in &mut rows {
            row.take_turn(&conntrack, round % 2 == 0, effort)?;
        }
    }
    writeln!(out, "### Packets and connections\n")?;
    if !with_iptables {
        writeln!(
            out,
            "iptables-legacy and ipset are not installed, or this kernel does not take them.\n"
        )?;
    }
    writeln!(
        out,
        "Differences are medians of {} pairs of turns of {:?}, one of them conntrack alone; what follows ± is 1.57 times \
         the distance between their quartiles by the root of their number, which is about how far the median may be off.\n",
        effort.rounds, effort.turn
    )?;
    writeln!(
        out,
        "| rules | evaluated, ns a packet | over conntrack | established, ns a packet | over conntrack | connections a second | of conntrack |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    let all: Vec<Vec<f64>> = Kind::ALL
        .iter()
        .map(|kind| {
            let beside = rows.iter().flat_map(|row| &row.beside[*kind as usize]);
            beside.copied().collect()
        })
        .collect();
    let [evaluated, established, rate] = [0, 1, 2].map(|kind| median(all[kind].clone()));
    writeln!(
        out,
        "| {} | {evaluated:.0} | | {established:.0} | | {rate:.0} | |",
        conntrack.layout.name()
    )?;
    for row in &rows {
        writeln!(out, "| {} | {row} |", row.way.layout.name())?;
    }
    writeln!(out)?;
    Ok(())
}

fn layouts(with_iptables: bool) -> Vec<Layout> {
    let mut layouts = vec![Layout::Nothing];
    for policies in [10, 1_000, 10_000] {
        layouts.extend([100, 10_000].map(|peers| Layout::Nopal(Load { policies, peers })));
    }
    // One beside the same with counters, to see what these cost.
    layouts.push(Layout::Uncounted(Load {
        policies: 1_000,
        peers: 100,
    }));
    // Each policy has one rule, and each counted rule costs lookups of its own.
    layouts.extend([10, 100, 1_000].map(|policies| {
        Layout::CountingRules(Load {
            policies,
            peers: 100,
        })
    }));
    // The slow ones only as far as it is bearable.
    for policies in [10, 100, 1_000] {
        let load = Load {
            policies,
            peers: 100,
        };
        layouts.push(Layout::ChainPerPolicy(load));
        layouts.extend(with_iptables.then_some(Layout::Iptables(load)));
    }
    layouts
}

impl Way {
    fn new(layout: Layout) -> Result<Self, Failure> {
        let bed = Bed::build()?;
        layout.put_in_force(&bed.lab)?;
        let flows = [bed.flow(false)?, bed.flow(true)?];
        Ok(Self { layout, bed, flows })
    }

    /// # Errors
    /// When a datagram was not forwarded: then something else was measured than what is said.
    fn take(&self, kind: Kind, effort: &Effort) -> Result<f64, Failure> {
        let flow = match kind {
            Kind::Evaluated => &self.flows[0],
            Kind::Established => &self.flows[1],
            Kind::Connections => return self.bed.connections(effort.turn),
        };
        let before = self.bed.forwarded()?;
        let (sent, time) = flow.flood(effort.turn)?;
        let forwarded = self.bed.forwarded()? - before;
        if forwarded < sent {
            let name = self.layout.name();
            return Err(format!("{name}: {forwarded} of {sent} datagrams were forwarded").into());
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        Ok(time.as_nanos() as f64 / sent as f64)
    }
}

impl Row {
    fn new(layout: Layout) -> Result<Self, Failure> {
        Ok(Self {
            way: Way::new(layout)?,
            own: Default::default(),
            beside: Default::default(),
        })
    }

    fn take_turn(
        &mut self,
        conntrack: &Way,
        is_first: bool,
        effort: &Effort,
    ) -> Result<(), Failure> {
        for kind in Kind::ALL {
            let (own, beside) = if is_first {
                let own = self.way.take(kind, effort)?;
                (own, conntrack.take(kind, effort)?)
            } else {
                let beside = conntrack.take(kind, effort)?;
                (self.way.take(kind, effort)?, beside)
            };
            self.own[kind as usize].push(own);
            self.beside[kind as usize].push(beside);
        }
        Ok(())
    }

    fn pairs(&self, kind: Kind, compare: impl Fn(f64, f64) -> f64) -> Spread {
        let (own, beside) = (&self.own[kind as usize], &self.beside[kind as usize]);
        let pairs = own.iter().zip(beside);
        Spread::of(pairs.map(|(own, beside)| compare(*own, *beside)).collect())
    }
}

/// The cells of the row behind its name.
impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for kind in [Kind::Evaluated, Kind::Established] {
            let own = median(self.own[kind as usize].clone());
            let Spread { median, error } = self.pairs(kind, |own, beside| own - beside);
            write!(f, "{own:.0} | {median:+.0} ± {error:.0} | ")?;
        }
        let own = median(self.own[Kind::Connections as usize].clone());
        let Spread { median, error } =
            self.pairs(Kind::Connections, |own, beside| own / beside * 100.0);
        write!(f, "{own:.0} | {median:.1} ± {error:.1} %")
    }
}
