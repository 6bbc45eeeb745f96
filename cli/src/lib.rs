//! The `nopal` command: offline tools and the data plane, from one rule graph.

pub mod args;
pub mod commands;
pub mod lint;
pub mod manifest;
pub mod report;
