//! Renders a rule graph as nftables rules and puts them into the kernel.
//!
//! Where to start reading: [`render`](mod@render) says with [`class`] what a node has to enforce, [`layout`] makes a [`ruleset`] of
//! it, and [`load`] puts that in force through a [`kernel`], which is [`nft`] or, in tests, a
//! [`fake`] one. [`live`] keeps a table up to date by what [`diff`](mod@diff) finds. [`interpreter`] executes a ruleset for
//! a packet, without a kernel.

mod changes;
pub mod class;
mod class_chain;
mod compare;
pub mod config;
mod conntrack;
pub mod delta;
pub mod diff;
pub mod digest;
mod drafts;
pub mod drift;
pub mod element;
pub mod fake;
mod fake_table;
pub mod generation;
mod grants;
mod hash;
mod identity;
pub mod in_force;
mod increment;
pub mod interpreter;
pub mod kernel;
pub mod layout;
mod listing;
pub mod live;
pub mod load;
pub mod names;
mod netlink;
pub mod nft;
pub mod node;
mod permissions;
mod placement;
mod process;
pub mod render;
pub mod ruleset;
pub mod statement;
mod statement_json;
mod switch_over;
pub mod transaction;
mod transaction_json;
pub mod value;
pub mod vocabulary;

pub use class_chain::Direction;
