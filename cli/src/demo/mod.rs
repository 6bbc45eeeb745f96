//! A demonstration of the whole road: the input as a small cluster of network namespaces, with its policies applied
//! by the kernel, and packets that show whether they mean what the rule graph says.
//!
//! [`Cast`] says who takes part, [`Plan`] which flows are tried, [`Stage`] is the cluster of namespaces, and [`run`]
//! compares what was expected with what was seen.

mod blocks;
mod cast;
mod interrupt;
mod nodes;
mod plan;
mod ports;
mod run;
mod stage;
mod wiring;

pub use cast::{Cast, Endpoint, Kind, LeftOut, Limits};
pub use interrupt::stop_on_signals;
pub use plan::{Plan, Trial};
pub use run::{Disagreement, Outcome, Prober, run};
pub use stage::{Stage, StageError, SwitchedBridge, clean, remove_leftovers};
pub use wiring::Wiring;
