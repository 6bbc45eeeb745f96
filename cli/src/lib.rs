//! The `nopal` command: offline tools and the data plane, from one rule graph.

pub mod args;
pub mod commands;
pub mod connectivity;
pub mod coverage;
pub mod demo;
pub mod denials;
pub mod diff;
pub mod explain;
pub mod fix;
pub mod git;
pub mod inventory;
mod kinds;
pub mod kubectl;
pub mod lint;
pub mod manifest;
pub mod matrix;
pub mod port;
pub mod remedy;
pub mod report;
pub mod rollout;
pub mod snapshot;
pub mod view;
