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

use std::fs;
use std::path::Path;

use rustix::thread::{MembarrierCommand, membarrier};

use crate::netlink;

/// Which processors are at work, as `0` or `0-3,8`.
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// Waits until every packet is through that came to the hook before this call; some ten milliseconds. It has two ways:
/// `membarrier`, whose global command waits for a grace period on machines of several processors (and fails where some of
/// them are `nohz_full`), and elsewhere the close of a netfilter socket, which waits for what the transactions before have
/// left to be freed, and so for the grace period that goes before that.
pub(crate) fn wait(namespace: Option<&Path>) {
    match membarrier(MembarrierCommand::Global) {
        Ok(()) if has_several_processors() => return,
        Ok(()) => {}
        Err(error) => tracing::debug!(%error, "the kernel has no global membarrier"),
    }
    match netlink::open(namespace) {
        Ok(socket) => drop(socket),
        Err(error) => tracing::debug!(%error, "no netfilter socket to wait with"),
    }
}

fn has_several_processors() -> bool {
    let online = fs::read_to_string(ONLINE).unwrap_or_default();
    online.contains(['-', ','])
}
