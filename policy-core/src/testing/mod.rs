//! What the tests of every crate share: random clusters and flows whose seeds stay valid, and flow tables.
//!
//! Everything here is for tests: wrong input ends in an error or a panic that says what is wrong.

pub mod flow_table;
mod objects;
mod random_cluster;
mod random_flow;
mod random_policy;
mod rng;
mod shrink;
mod strict;

pub use objects::Objects;
pub use random_cluster::{Size, random_cluster};
pub use random_flow::{random_flow, random_flows};
pub use rng::Rng;
pub use shrink::shrink;
