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
pub mod graph;
pub mod grouped;
pub mod inventory;
mod kinds;
pub mod lint;
pub mod manifest;
pub mod matrix;
pub mod owners;
pub mod picture;
pub mod port;
pub mod reachable;
pub mod remedy;
pub mod report;
pub mod snapshot;
pub mod view;
