//! Clears our bits in the marks of conntrack entries, by netlink.
//!
//! Not by the `conntrack` program: version 1.4.7 cannot update marks on kernel 6.18 ("Operation not
//! supported"), and `-D` would take the address translation of Service flows away. By netlink the
//! kernel changes the bits of a mask alone, so those of other programs stay as they are.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send,
    setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::generation::MarkBits;
use crate::kernel::ApplyError;
use crate::namespace::in_namespace;
use crate::netlink::{Message, messages};

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW`; without `NLM_F_CREATE` it changes an entry.
const CHANGE: u16 = 0x0100;
/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET`
const GET: u16 = 0x0101;
const TUPLE_ORIGINAL: u16 = 1;
const MARK: u16 = 8;
const ZONE: u16 = 18;
const MARK_MASK: u16 = 21;
/// Changes sent at once; their errors must fit into the socket's buffer.
const BATCH: usize = 64;
/// The kernel fills at most 32 KiB in one dump message.
const BUFFER: usize = 64 * 1024;
const PATIENCE_SECONDS: i64 = 10;

/// Sets these bits to zero in the mark of every entry of the namespace.
pub(crate) fn clear_marks(namespace: Option<&Path>, bits: MarkBits) -> Result<(), ApplyError> {
    let cleared = in_namespace(namespace, connected_socket).and_then(|socket| {
        let marked = marked_entries(&socket, bits)?;
        marked
            .chunks(BATCH)
            .try_for_each(|entries| clear(&socket, entries, bits))
    });
    cleared.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => ApplyError::NotPermitted {
            stderr: error.to_string(),
        },
        _ => ApplyError::System {
            doing: "clearing conntrack marks",
            reason: error.to_string(),
        },
    })
}

/// What identifies an entry.
struct Entry {
    family: u8,
    tuple: Vec<u8>,
    zone: Option<Vec<u8>>,
}

/// A netfilter socket that waits a limited time for answers.
pub(crate) fn connected_socket() -> io::Result<OwnedFd> {
    let (family, protocol) = (AddressFamily::Netlink, SockProtocol::NetlinkNetFilter);
    let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(PATIENCE_SECONDS))?;
    let kernel = NetlinkAddr::new(0, 0);
    connect(socket.as_raw_fd(), &kernel)?;
    Ok(socket)
}

/// All entries with one of the bits in their mark.
fn marked_entries(socket: &OwnedFd, bits: MarkBits) -> io::Result<Vec<Entry>> {
    send(
        socket.as_raw_fd(),
        Message::dump(GET).bytes(),
        MsgFlags::empty(),
    )?;
    let mut entries = Vec::new();
    receive(socket, |message| {
        let mark = message
            .attribute(MARK)
            .and_then(|mark| mark.try_into().ok());
        if mark.map_or(0, u32::from_be_bytes) & bits.mask() == 0 {
            return;
        }
        if let Some(tuple) = message.attribute(TUPLE_ORIGINAL) {
            let zone = message.attribute(ZONE).map(<[u8]>::to_vec);
            entries.push(Entry {
                family: message.family(),
                tuple: tuple.to_vec(),
                zone,
            });
        }
    })?;
    Ok(entries)
}

/// Clears some entries. One that has ended meanwhile carries no mark any more.
fn clear(socket: &OwnedFd, entries: &[Entry], bits: MarkBits) -> io::Result<()> {
    let mut batch = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let mut message = Message::request(CHANGE, entry.family);
        message.put_nested(TUPLE_ORIGINAL, &entry.tuple);
        if let Some(zone) = &entry.zone {
            message.put(ZONE, zone);
        }
        message.put(MARK, &0_u32.to_be_bytes());
        message.put(MARK_MASK, &bits.mask().to_be_bytes());
        if index + 1 == entries.len() {
            message.ask_for_answer();
        }
        batch.extend_from_slice(message.bytes());
    }
    send(socket.as_raw_fd(), &batch, MsgFlags::empty())?;
    receive(socket, |_| {})
}

/// Reads until the end of a dump or the answer that was asked for.
fn receive(
    socket: &OwnedFd,
    mut each: impl FnMut(&crate::netlink::Received<'_>),
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        for message in messages(&buffer[..length]) {
            if let Some(errno) = message.error() {
                if errno != 0 && errno != Errno::ENOENT as i32 {
                    return Err(Errno::from_raw(errno).into());
                }
                if message.is_last() {
                    return Ok(());
                }
            } else if message.is_done() {
                return Ok(());
            } else {
                each(&message);
            }
        }
    }
}
