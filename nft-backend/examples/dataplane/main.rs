//! Measures the data plane with packets, and prints tables for `docs/benchmarks.md`: `dataplane [--quick]`. Root.
//!
//! Each way of filtering has two pods on a node of its own, made of network namespaces, and their turns alternate, so
//! that what else the machine does hits all of them alike. Figures are medians; of differences there is the spread too.
//! A packet's time is that of its whole
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
    /// Turns of each way of filtering, each with one of conntrack alone beside it.
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
            rounds: 41,
            turn: Duration::from_millis(40),
            swaps: 1000,
        },
        [quick] if quick == "--quick" => Effort {
            rounds: 5,
            turn: Duration::from_millis(20),
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

/// The value in the middle, and about how far it may be off: 1.57 times the distance between the quartiles by the root of
/// the number of values, which is what the notches of box plots show (`McGill`, Tukey and Larsen, 1978).
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) error: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |quarters: usize| values[(values.len() - 1) * quarters / 4];
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let root = (values.len() as f64).sqrt();
        Self {
            median: at(2),
            error: 1.57 * (at(3) - at(1)) / root,
        }
    }
}
