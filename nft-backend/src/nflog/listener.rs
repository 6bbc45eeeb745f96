//! The socket that a group's messages come to.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimeout};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send,
    setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::{Refused, attributes};
use crate::namespace::in_namespace;
use crate::netlink::messages;
use crate::nft::namespace_path;

/// Room for some ten thousand messages that nobody has read yet.
const ROOM: usize = 4 << 20;
/// A message with the first bytes of one packet has a few hundred bytes.
const BUFFER: usize = 64 * 1024;
const PATIENCE_SECONDS: i64 = 10;

/// Hears about each packet that the rules of a network namespace tell to a group. One program at a time can.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

/// What a listener has heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// These packets were refused.
    Refused(Vec<Refused>),
    /// Messages came faster than they were read, and some were thrown away.
    Lost,
    /// Nothing, within the time.
    Nothing,
}

/// Why nothing can be heard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// There is no such network namespace.
    #[error("the network namespace {path} does not exist; `ip netns list` shows those with a name")]
    NoNamespace {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The kernel says no. It has one word for both reasons.
    #[error(
        "not permitted to listen to nflog group {group}: it needs root or CAP_NET_ADMIN, and no other \
         program may listen to that group in this network namespace"
    )]
    NotPermitted {
        /// The group.
        group: u16,
    },
    /// The kernel does not know nflog.
    #[error("this kernel has no nflog; it is in the module nfnetlink_log: {reason}")]
    NoNflog {
        /// What it said.
        reason: String,
    },
    /// Something else did not work.
    #[error("{doing} failed: {reason}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the operating system said.
        reason: String,
    },
}

impl Listener {
    /// Joins a group in a network namespace, given by its name or its path, or in the one that this program runs in.
    pub fn join(namespace: Option<&Path>, group: u16) -> Result<Self, ListenError> {
        let path = namespace.map(namespace_path);
        if let Some(path) = path.clone().filter(|path| !path.exists()) {
            return Err(ListenError::NoNamespace { path });
        }
        let socket = in_namespace(path.as_deref(), connected_socket)
            .map_err(|error| failed("opening a socket", &error, group))?;
        bind(&socket, group).map_err(|error| failed("joining the group", &error, group))?;
        Ok(Self {
            socket,
            buffer: vec![0; BUFFER],
        })
    }

    /// Waits for messages, at most so long. A signal ends it early.
    pub fn listen(&mut self, patience: Duration) -> Result<Heard, ListenError> {
        let system = |error: Errno| ListenError::System {
            doing: "listening",
            reason: error.to_string(),
        };
        let milliseconds = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
        // A timeout of zero would be none at all.
        let limit = TimeVal::milliseconds(milliseconds.clamp(1, i64::from(i32::MAX)));
        setsockopt(&self.socket, ReceiveTimeout, &limit).map_err(system)?;
        match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
            Ok(length) => {
                let messages = messages(&self.buffer[..length]);
                let refused = messages.filter_map(|message| attributes::read(&message));
                Ok(Heard::Refused(refused.collect()))
            }
            Err(Errno::ENOBUFS) => Ok(Heard::Lost),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Heard::Nothing),
            Err(error) => Err(system(error)),
        }
    }
}

/// A netfilter socket that waits a limited time for answers.
fn connected_socket() -> io::Result<OwnedFd> {
    let (family, protocol) = (AddressFamily::Netlink, SockProtocol::NetlinkNetFilter);
    let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(PATIENCE_SECONDS))?;
    let kernel = NetlinkAddr::new(0, 0);
    connect(socket.as_raw_fd(), &kernel)?;
    Ok(socket)
}

fn bind(socket: &OwnedFd, group: u16) -> io::Result<()> {
    setsockopt(socket, RcvBufForce, &ROOM)?;
    send(
        socket.as_raw_fd(),
        attributes::bind(group).bytes(),
        MsgFlags::empty(),
    )?;
    let mut buffer = vec![0; BUFFER];
    loop {
        // A socket with a limit of time is not waited for again after a signal, whatever its handler asks for.
        let length = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Err(Errno::EINTR) => continue,
            received => received?,
        };
        // The first packets may come before the answer.
        let mut answers = messages(&buffer[..length]).filter_map(|message| message.error());
        match answers.next() {
            Some(0) => return Ok(()),
            Some(error) => return Err(Errno::from_raw(error).into()),
            None => {}
        }
    }
}

fn failed(doing: &'static str, error: &io::Error, group: u16) -> ListenError {
    let reason = error.to_string();
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES | Errno::EBUSY) => ListenError::NotPermitted { group },
        // The subsystem is not there, or the whole family.
        Some(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT) => {
            ListenError::NoNflog { reason }
        }
        _ => ListenError::System { doing, reason },
    }
}
