//! The agent of a node: it follows the API server and keeps the rules of its node in force.
//!
//! The road: [`watch`] turns objects into events as they are read from the wire; [`sync`] gathers them, feeds the
//! engine and puts what changed in force through [`dataplane`]; [`state`] keeps the last good rules for a boot without
//! API server; [`topology`] looks how pods are wired; [`http`] and [`report`] tell people. [`cni`] knows pods of this node
//! before the API shows their addresses. [`run`](mod@run) joins them.

pub mod args;
mod causes;
pub mod cleanup;
pub mod client;
pub mod cni;
pub mod dataplane;
pub mod enforcer;
#[cfg(test)]
mod held;
pub mod http;
pub mod install;
pub mod jitter;
pub mod kind;
pub mod ledger;
pub mod metrics;
pub mod quarantine;
pub mod report;
pub mod run;
pub mod spoofing;
pub mod state;
pub mod status;
pub mod sync;
pub mod topology;
pub mod watch;
pub mod wiring;
