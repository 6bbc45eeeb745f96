//! Renders a rule graph as nftables rules and puts them into the kernel.
pub mod class;
mod class_chain;
pub mod config;
pub mod element;
pub mod generation;
mod grants;
pub mod interpreter;
pub mod layout;
pub mod names;
pub mod render;
pub mod ruleset;
pub mod statement;
mod statement_json;
pub mod value;
pub mod vocabulary;

pub use class_chain::Direction;
