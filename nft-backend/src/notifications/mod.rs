//! What the kernel tells of changes of tables, as they happen.
//!
//! nftables sends a message for each object that a transaction makes or deletes to everybody who
//! listens, before the program that asked for it gets its answer. So when our own change is done, what
//! is told of it can be read at once.
//!
//! Messages of other tables come too: the kernel has one group for all. They are passed over by their
//! table's name and not read any further.

mod commit;
mod decode;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, setsockopt,
    socket,
};

use crate::names::Name;
use crate::namespace::in_namespace;
use crate::nft::Nft;
pub use commit::{Change, Changes, Commit, Object, Process, Way};
use decode::Decoder;

/// `NFNLGRP_NFTABLES`
const GROUP: u32 = 7;
/// The kernel fills a page or two per datagram; a rule with a long comment is one message.
const BUFFER: usize = 256 * 1024;
/// Room for what is told while nobody reads: some ten thousand messages. It is not taken beforehand.
const ROOM: usize = 16 << 20;

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A transaction touched our table.
    Commit(Commit),
    /// Messages were lost, because nobody read them in time: nobody knows what they said.
    Lost,
}

/// Where notices come from: the kernel, or a test.
pub trait Notices {
    /// What there is, oldest first; it does not wait.
    ///
    /// # Errors
    /// When the socket cannot be read any more.
    fn read(&mut self) -> io::Result<Vec<Notice>>;

    /// Waits until there is something to read, at most so long.
    ///
    /// # Errors
    /// When the system cannot wait.
    fn wait(&self, timeout: Duration) -> io::Result<()>;
}

/// A socket that hears of every transaction of its network namespace.
#[derive(Debug)]
pub struct Notifications {
    socket: OwnedFd,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl Notifications {
    /// Listens for changes of this table of the `inet` family, in the network namespace of `kernel`,
    /// from now on.
    ///
    /// # Errors
    /// When there is no such namespace, or without `CAP_NET_ADMIN`, which the group asks for.
    pub fn of(kernel: &Nft, table: &Name) -> io::Result<Self> {
        Self::in_namespace(kernel.namespace(), table)
    }

    fn in_namespace(namespace: Option<&Path>, table: &Name) -> io::Result<Self> {
        Ok(Self {
            socket: in_namespace(namespace, listen)?,
            decoder: Decoder::new(table.clone()),
            buffer: vec![0; BUFFER],
        })
    }

    /// One datagram: its length, `None` when it does not come from the kernel.
    fn receive(&mut self) -> Result<Option<usize>, Errno> {
        let (length, sender) = recvfrom::<NetlinkAddr>(self.socket.as_raw_fd(), &mut self.buffer)?;
        Ok(sender
            .is_some_and(|sender| sender.pid() == 0)
            .then_some(length))
    }
}

impl Notices for Notifications {
    fn read(&mut self) -> io::Result<Vec<Notice>> {
        let mut notices = Vec::new();
        loop {
            match self.receive() {
                Ok(None) | Err(Errno::EINTR) => {}
                // A datagram as long as the buffer may have been cut.
                Ok(Some(length)) if length < self.buffer.len() => {
                    notices.extend(self.decoder.read(&self.buffer[..length]));
                }
                Ok(Some(_)) | Err(Errno::ENOBUFS) => {
                    self.decoder.forget();
                    notices.push(Notice::Lost);
                }
                Err(Errno::EAGAIN) => return Ok(notices),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn wait(&self, timeout: Duration) -> io::Result<()> {
        // Rounded up, so that the last part of a millisecond is not spent spinning.
        let timeout = PollTimeout::try_from(timeout + Duration::from_micros(999));
        let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, timeout.unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Notifications {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn listen() -> io::Result<OwnedFd> {
    let (family, protocol) = (AddressFamily::Netlink, SockProtocol::NetlinkNetFilter);
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Raw, flags, protocol)?;
    // Beyond the limit of the machine, which CAP_NET_ADMIN may.
    setsockopt(&socket, RcvBufForce, &ROOM)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 1 << (GROUP - 1)))?;
    Ok(socket)
}
