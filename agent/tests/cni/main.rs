//! The CNI plugin as a runtime runs it: the program with its environment and standard input, alone and behind the
//! plugins of Debian's containernetworking-plugins, with the agent's part in this process and the kernel's rules real.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests outside of test functions"
)]

mod chained;
mod datagrams;
mod installed;
mod quarantine;
mod runtime;
mod site;
mod specification;
mod spoofing;
