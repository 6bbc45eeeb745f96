//! The chained CNI plugin: it tells the agent of a pod before the pod runs, and returns when the pod's rules are in
//! force.
//!
//! [`plugin`] is the program, as the CNI specification has it; [`protocol`] is what it says to the agent over a Unix
//! socket. The crate knows no asynchronous runtime and no Kubernetes client, so the program is small and starts at
//! once.

mod client;
pub mod config;
pub mod environment;
pub mod error;
mod neighbours;
pub mod plugin;
pub mod prev_result;
pub mod protocol;
pub mod quarantine;
