//! Measures the data plane with packets, and prints tables for `docs/benchmarks.md`: `dataplane [--quick]`. Root.
//!
//! Each way of filtering has two pods on a node of its own, made of network namespaces, and their turns alternate, so
//! that what else the machine does hits all of them alike. Figures are medians. A packet's time is that of its whole
//! way from one pod to the other on one processor, so only the differences between rows say something.

mod bed;
mod layouts;
mod memory;
mod packets;
mod policies;
mod swaps;

use std::io::{self, Write};
use std::time::Duration;

type Failure = Box<dyn std::error::Error>;

/// How much is measured.
pub(crate) struct Effort {
    /// Turns of each way of filtering.
    rounds: usize,
    /// How long a turn is.
    turn: Duration,
    /// Changes of each kind under traffic.
    swaps: usize,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let effort = match arguments.as_slice() {
        [] => Effort {
            rounds: 9,
            turn: Duration::from_millis(250),
            swaps: 1000,
        },
        [quick] if quick == "--quick" => Effort {
            rounds: 3,
            turn: Duration::from_millis(60),
            swaps: 30,
        },
        _ => return Err("usage: dataplane [--quick]".into()),
    };
    let out = &mut io::stdout();
    packets::measure(out, &effort)?;
    swaps::measure(out, &effort)?;
    memory::measure(out)?;
    out.flush()?;
    Ok(())
}

/// The value in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
