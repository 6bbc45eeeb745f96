//! Hears from the kernel when elements come: a view from outside the agent.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimeout};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt,
    socket,
};
use nix::sys::time::{TimeVal, TimeValLike};
use nopal_lab::Namespace;

use crate::Failure;
use crate::changes::Mark;

/// The group of nftables' notifications, `NFNLGRP_NFTABLES`, as a bit.
const NFTABLES: u32 = 1 << (7 - 1);

/// Room for what comes while this program waits for a processor.
const BUFFER: usize = 64 << 20;

type Seen = BTreeMap<Mark, Instant>;

/// A monitor at work.
pub(crate) struct Monitor {
    stop: Arc<AtomicBool>,
    reader: JoinHandle<Result<Seen, Errno>>,
}

impl Monitor {
    /// Starts to listen in this namespace.
    pub(crate) fn start(node: &Namespace) -> Result<Self, Failure> {
        let socket = node.run(listen)??;
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = stop.clone();
        let reader = spawn(move || read(&socket, &is_over));
        Ok(Self { stop, reader })
    }

    /// Ends; gives when each mark was seen for the first time.
    pub(crate) fn stop(self) -> Result<Seen, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.reader.join();
        Ok(seen.map_err(|_| "the reader of notifications panicked")??)
    }
}

fn listen() -> Result<OwnedFd, Errno> {
    let protocol = SockProtocol::NetlinkNetFilter;
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        protocol,
    )?;
    setsockopt(&socket, RcvBufForce, &BUFFER)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::milliseconds(200))?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, NFTABLES))?;
    Ok(socket)
}

fn read(socket: &OwnedFd, is_over: &AtomicBool) -> Result<Seen, Errno> {
    let mut seen = Seen::new();
    let mut message = vec![0; 1 << 20];
    while !is_over.load(Ordering::Relaxed) {
        let length = match recv(socket.as_raw_fd(), &mut message, MsgFlags::empty()) {
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(error) => return Err(error),
        };
        let now = Instant::now();
        for mark in marks(&message[..length]) {
            seen.entry(mark).or_insert(now);
        }
    }
    Ok(seen)
}

/// The marks of the elements in a message. An element of pods and ports has its parts one after the other, each filled up
/// to four bytes: the address, the protocol, the port.
fn marks(message: &[u8]) -> impl Iterator<Item = Mark> {
    const TCP: [u8; 4] = [6, 0, 0, 0];
    let (words, _) = message.as_chunks::<4>();
    let elements = words.windows(3).filter(|words| words[1] == TCP);
    elements.flat_map(|words| {
        let port = u16::from_be_bytes([words[2][0], words[2][1]]);
        [Mark::address(words[0].into()), Mark::port(port)]
            .into_iter()
            .flatten()
    })
}
