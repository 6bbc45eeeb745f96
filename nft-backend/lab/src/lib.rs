//! A small cluster made of network namespaces, with probes that send real packets.
//!
//! [`Lab::build`] turns a [`Topology`] into namespaces: one for each node, one for each pod, and one
//! "world" which holds the external addresses and routes between the nodes. Nothing is translated on
//! the way, so a packet filter in a node's forward hook sees the addresses of the two ends.
//! [`Lab::probe`] then finds out which flows get through; [`Traffic`], [`Connection`] and
//! [`Dialogue`] are flows that last, for tests which change the filter under them.
//! [`Lab::build_wired`] hangs the pods on their nodes in another [`Wiring`], by the reference CNI plugins.
//!
//! The crate knows neither Kubernetes nor nftables. It needs root and iproute2's `ip`.

mod cni;
mod connection;
mod dialogue;
mod error;
mod ip;
mod lab;
mod limit;
mod listener;
mod namespace;
mod patience;
mod poll;
mod probe;
mod process;
mod source_port;
mod sysctl;
mod topology;
mod traffic;
mod wiring;

pub use connection::Connection;
pub use dialogue::Dialogue;
pub use error::LabError;
pub use lab::Lab;
pub use namespace::Namespace;
pub use patience::{feasible, patient};
pub use probe::{Probe, ProbeKind, Seen};
pub use topology::{NodeSpec, PodSpec, Topology, is_routable};
pub use traffic::{Counted, Stream, Traffic};
pub use wiring::Wiring;
