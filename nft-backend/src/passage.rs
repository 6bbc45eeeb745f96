//! Packets that are under way in the rules while these change.
//!
//! The kernel keeps the rules of two generations, of which a packet meets those that were in force when it entered the
//! hook; elements it meets as they are when it looks them up. Where the processor is held up between the two, as a virtual
//! one is now and then for milliseconds, a packet can outlast the switch to other chains and the deletion of the old maps:
//! then it is led by rules that still are those of its generation, finds no entry for a pod in a map whose entries are
//! gone, and takes it for one that no policy isolates. One of a million refused packets was let through so, under full
//! loads one after the other (kernel 6.18). So such a change waits until the packets that it could concern are through
//! (module [`under_way`](crate::under_way) has which changes these are): readers of rules are in an RCU section from the hook
//! on, and [`wait`] ends after a grace period.

use std::path::Path;

use rustix::thread::{MembarrierCommand, membarrier};

use crate::netlink;

/// Waits until every packet is through that came to the hook before this call; some ten milliseconds. It has two ways, of
/// which each alone will do where the kernel has it: `membarrier`, whose global command waits for a grace period on
/// machines of several processors, and the close of a netfilter socket, which waits for what the transactions before have
/// left to be freed, and so for the grace period that goes before that.
pub(crate) fn wait(namespace: Option<&Path>) {
    if let Err(error) = membarrier(MembarrierCommand::Global) {
        tracing::debug!(%error, "the kernel has no global membarrier");
    }
    match netlink::open(namespace) {
        Ok(socket) => drop(socket),
        Err(error) => tracing::debug!(%error, "no netfilter socket to wait with"),
    }
}
