//! The `nopal` command: offline tools and the data plane, from one rule graph.

pub mod manifest;
