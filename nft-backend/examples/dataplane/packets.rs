//! What a packet and a connection cost under each way of filtering.

use std::io::Write;

use crate::bed::{Bed, Flow};
use crate::layouts::{Layout, has_iptables};
use crate::policies::Load;
use crate::{Effort, Failure, median};

/// What one way of filtering took, turn by turn.
struct Column {
    layout: Layout,
    bed: Bed,
    /// Never answered, and answered.
    flows: [Flow; 2],
    nanoseconds: [Vec<f64>; 2],
    connections: Vec<f64>,
}

pub(crate) fn measure(out: &mut dyn Write, effort: &Effort) -> Result<(), Failure> {
    let with_iptables = has_iptables(&Bed::build()?.lab);
    let mut columns = Vec::new();
    for layout in layouts(with_iptables) {
        columns.push(Column::new(layout)?);
    }
    for _ in 0..effort.rounds {
        for column in &mut columns {
            column.take_turn(effort)?;
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
        "| rules | evaluated, ns a packet | over conntrack | established, ns a packet | over conntrack | connections a second | of conntrack |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    let figures: Vec<[f64; 3]> = columns.iter().map(Column::medians).collect();
    let base = columns.iter().zip(&figures);
    let mut base = base.filter(|(column, _)| matches!(column.layout, Layout::Conntrack));
    let (_, base) = base.next().ok_or("conntrack alone was not measured")?;
    for (column, [evaluated, established, rate]) in columns.iter().zip(&figures) {
        writeln!(
            out,
            "| {} | {evaluated:.0} | {:+.0} | {established:.0} | {:+.0} | {rate:.0} | {:.1} % |",
            column.layout.name(),
            evaluated - base[0],
            established - base[1],
            rate / base[2] * 100.0
        )?;
    }
    writeln!(out)?;
    Ok(())
}

fn layouts(with_iptables: bool) -> Vec<Layout> {
    let mut layouts = vec![Layout::Nothing, Layout::Conntrack];
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

impl Column {
    fn new(layout: Layout) -> Result<Self, Failure> {
        let bed = Bed::build()?;
        layout.put_in_force(&bed.lab)?;
        let flows = [bed.flow(false)?, bed.flow(true)?];
        Ok(Self {
            layout,
            bed,
            flows,
            nanoseconds: Default::default(),
            connections: Vec::new(),
        })
    }

    /// # Errors
    /// When a datagram was not forwarded: then something else was measured than what is said.
    fn take_turn(&mut self, effort: &Effort) -> Result<(), Failure> {
        for (flow, times) in self.flows.iter().zip(&mut self.nanoseconds) {
            let before = self.bed.forwarded()?;
            let (sent, time) = flow.flood(effort.turn)?;
            let forwarded = self.bed.forwarded()? - before;
            if forwarded < sent {
                let name = self.layout.name();
                return Err(
                    format!("{name}: {forwarded} of {sent} datagrams were forwarded").into(),
                );
            }
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            times.push(time.as_nanos() as f64 / sent as f64);
        }
        self.connections.push(self.bed.connections(effort.turn)?);
        Ok(())
    }

    fn medians(&self) -> [f64; 3] {
        let [evaluated, established] = &self.nanoseconds;
        [evaluated, established, &self.connections].map(|values| median(values.clone()))
    }
}
