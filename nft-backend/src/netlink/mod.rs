//! The kernel by netlink, without a process: a transaction becomes one batch on a socket that stays open.
//!
//! A batch is all or nothing: the kernel works it off while it is being sent, and answers for each message that it
//! refuses. How it is made: `writer` puts messages and attributes into one buffer, `batch` writes a transaction with
//! `elements`, `set` and `expression`, `exchange` sends it and reads what the kernel says, `question` asks for one object, and `direct` is the
//! [`Kernel`](crate::kernel::Kernel) on top, with `sets` for what elements must be written like. Listing stays with
//! nft, which also takes over where netlink is refused. Why no crate does this:
//! `docs/decisions/0001-netlink.md`.

mod batch;
mod direct;
mod elements;
mod exchange;
mod expression;
#[cfg(test)]
#[path = "../../tests/common/log.rs"]
mod log;
mod message;
mod question;
#[cfg(test)]
pub(crate) mod script;
mod set;
mod sets;
mod socket;
mod uapi;
mod writer;

pub(crate) use exchange::{receive, send};
pub(crate) use message::{Message, Received, messages};
pub(crate) use question::generation;
pub(crate) use socket::{Socket, open};

pub use direct::Netlink;
