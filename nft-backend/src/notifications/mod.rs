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
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket as NetlinkSocket, SocketAddr};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;

use crate::names::Name;
use crate::namespace::in_namespace;
use crate::netlink::{self, Socket};
use crate::nft::Nft;
pub use commit::{Change, Changes, Commit, Object, Process, Way};
use decode::Decoder;

/// `NFNLGRP_NFTABLES`
const GROUP: u32 = 7;
/// The kernel fills a page or two per datagram; a rule with a long comment is one message.
const BUFFER: usize = 256 * 1024;
/// Room for what is told while nobody reads: some ten thousand messages. It is not taken beforehand.
const ROOM: usize = 16 << 20;
/// The number of a question for the generation. There is one at a time.
const QUESTION: u32 = 1;

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

    /// Has nothing told any more, until [`resume`](Self::resume): for a large transaction of one's own.
    ///
    /// # Errors
    /// When that cannot be done; then all is told as before.
    fn pause(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Has everything told again. `own` is how many transactions whoever paused has carried out meanwhile; if there were
    /// others, or nobody knows, the next [`read`](Self::read) says that something was lost.
    fn resume(&mut self, _own: u32) {}
}

/// A socket that hears of every transaction of its network namespace.
pub struct Notifications {
    socket: NetlinkSocket,
    /// Asks what generation is in force.
    asking: Box<dyn Socket>,
    decoder: Decoder,
    buffer: Vec<u8>,
    /// What was read before anybody wanted it.
    kept: Vec<Notice>,
    is_deaf: bool,
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
        let mut notifications = Self {
            socket: in_namespace(namespace, listen)?,
            asking: netlink::open(namespace)?,
            decoder: Decoder::new(table.clone()),
            buffer: vec![0; BUFFER],
            kept: Vec::new(),
            is_deaf: false,
        };
        notifications.follow_on();
        Ok(notifications)
    }

    /// Notes what generation is in force, while everything is told: all that come after it will be.
    fn follow_on(&mut self) {
        let generation = netlink::generation(self.asking.as_mut(), QUESTION);
        self.decoder.follows(generation.ok());
    }

    /// One datagram: its length, `None` when it does not come from the kernel.
    fn receive(&mut self) -> Result<Option<usize>, Errno> {
        let received = self.socket.recv_from(&mut &mut self.buffer[..], 0);
        let (length, sender) = received.map_err(|error| {
            let number = error.raw_os_error();
            number.map_or(Errno::EIO, Errno::from_raw)
        })?;
        Ok((sender.port_number() == 0).then_some(length))
    }

    fn read_into(&mut self, notices: &mut Vec<Notice>) -> io::Result<()> {
        loop {
            match self.receive() {
                Ok(None) | Err(Errno::EINTR) => {}
                // A datagram as long as the buffer may have been cut.
                Ok(Some(length)) if length < self.buffer.len() => {
                    notices.extend(self.decoder.read(&self.buffer[..length]));
                }
                Ok(Some(_)) | Err(Errno::ENOBUFS) => self.lost(notices),
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn lost(&mut self, notices: &mut Vec<Notice>) {
        self.decoder.forget();
        notices.push(Notice::Lost);
    }
}

impl Notices for Notifications {
    fn read(&mut self) -> io::Result<Vec<Notice>> {
        let mut notices = mem::take(&mut self.kept);
        if self.is_deaf {
            self.socket.add_membership(GROUP)?;
            self.is_deaf = false;
            self.lost(&mut notices);
        }
        self.read_into(&mut notices)?;
        Ok(notices)
    }

    fn wait(&self, timeout: Duration) -> io::Result<()> {
        if !self.kept.is_empty() {
            return Ok(());
        }
        // Rounded up, so that the last part of a millisecond is not spent spinning.
        let timeout = PollTimeout::try_from(timeout + Duration::from_micros(999));
        let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, timeout.unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The kernel makes a message of a page or two for each element that anybody is told of, and keeps all of them until
    /// the transaction ends: for 100,000 elements more than 800 MiB (`docs/benchmarks.md`).
    fn pause(&mut self) -> io::Result<()> {
        self.socket.drop_membership(GROUP)
    }

    /// What was told before the pause is read first, so that the last generation which was told is known. The one in
    /// force is asked for when all that come after it are told again. Between the two there must be ours alone.
    fn resume(&mut self, own: u32) {
        let mut notices = mem::take(&mut self.kept);
        let told = match self.read_into(&mut notices) {
            Ok(()) => self.decoder.generation(),
            Err(_) => None,
        };
        // The end of a transaction that was being told when the pause began is not told any more.
        self.decoder.forget();
        self.is_deaf = self.socket.add_membership(GROUP).is_err();
        if !self.is_deaf {
            self.follow_on();
            let expected = told.map(|told| told.wrapping_add(own));
            if expected.is_none() || expected != self.decoder.generation() {
                notices.push(Notice::Lost);
            }
        }
        self.kept = notices;
    }
}

impl AsFd for Notifications {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn listen() -> io::Result<NetlinkSocket> {
    let mut socket = NetlinkSocket::new(NETLINK_NETFILTER)?;
    socket.set_non_blocking(true)?;
    // Beyond the limit of the machine, which CAP_NET_ADMIN may.
    setsockopt(&socket, RcvBufForce, &ROOM)?;
    socket.bind(&SocketAddr::new(0, 1 << (GROUP - 1)))?;
    Ok(socket)
}
