//! Renders a rule graph as nftables rules and puts them into the kernel.
//!
//! Where to start reading: [`render`](mod@render) says with [`class`] what a node has to enforce, [`layout`] makes a [`ruleset`] of
//! it, and [`load`] puts that in force through a [`kernel`]. That is [`netlink`] for a program that stays, which changes a
//! table many times, [`nft`] for one that ends after one change, or, in tests, a [`fake`] one. [`live`] keeps a table up to date by what [`diff`](mod@diff) finds. [`interpreter`] executes a ruleset for
//! a packet, without a kernel.

pub mod anti_spoofing;
mod changes;
pub mod class;
mod class_chain;
pub mod class_counters;
mod compare;
pub mod config;
mod conntrack;
mod counted_rules;
mod creation;
pub mod delta;
pub mod diff;
pub mod digest;
mod drafts;
pub mod drift;
pub mod element;
pub mod fake;
mod fake_table;
pub mod features;
pub mod generation;
mod grants;
pub mod guard;
mod hash;
mod identity;
pub mod in_force;
mod increment;
pub mod interpreter;
pub mod kernel;
pub mod layout;
mod link_local;
mod listing;
pub mod live;
pub mod load;
pub mod lock;
pub mod log_prefix;
pub mod names;
mod namespace;
pub mod netlink;
pub mod nflog;
pub mod nft;
pub mod node;
pub mod notifications;
pub mod pace;
mod passage;
mod permissions;
mod picked_up;
mod placement;
mod process;
pub mod render;
mod repair;
pub mod rule_counters;
pub mod ruleset;
mod senders;
pub mod statement;
mod statement_json;
mod switch_over;
pub mod topology;
pub mod transaction;
mod transaction_json;
mod under_way;
pub mod value;
pub mod vocabulary;

pub use class_chain::Direction;
