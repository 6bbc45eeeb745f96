//! Drops packets that wait for a pod's address to be resolved.
//!
//! On a bridge the kernel forwards a packet to an address that nobody has yet, and keeps it until the neighbour answers
//! (up to 3 s and some hundred packets). Such a packet was judged before the pod's rules were there and is not judged
//! again: without this, what a sender had sent before ADD arrives in the pod after it. Deleting the unresolved neighbour
//! entry drops its queue; the next packet makes a new one, and has passed the rules by then.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send,
    setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// `RTM_NEWNEIGH`, `RTM_DELNEIGH` and `RTM_GETNEIGH` of rtnetlink(7).
const ENTRY: u16 = 28;
const DELETE: u16 = 29;
const LIST: u16 = 30;
/// `NLMSG_ERROR` and `NLMSG_DONE` of netlink(7).
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLM_F_REQUEST`, `NLM_F_ACK` and `NLM_F_DUMP`.
const REQUEST: u16 = 0x01;
const ACK: u16 = 0x04;
const DUMP: u16 = 0x0300;
/// `NDA_DST`: the neighbour's address.
const ADDRESS: u16 = 1;
/// `NUD_INCOMPLETE`: packets wait for an answer.
const UNRESOLVED: u16 = 0x01;

const HEADER: usize = 16;
/// `struct ndmsg`: family, three bytes of nothing, link (4), state (2), flags, type.
const NEIGHBOUR: usize = 12;
/// The kernel fills at most 32 KiB in one dump message.
const BUFFER: usize = 64 * 1024;
const PATIENCE_SECONDS: i64 = 5;

/// An entry that packets wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiting {
    link: [u8; 4],
    address: IpAddr,
}

/// Drops what waits for these addresses in the network namespace that this runs in.
///
/// # Errors
/// When the kernel cannot be asked or refuses; packets may wait then.
pub(crate) fn drop_waiting(addresses: &[IpAddr]) -> io::Result<()> {
    let socket = open()?;
    let ours = |waiting: &Waiting| addresses.contains(&waiting.address);
    for waiting in list(&socket)?.into_iter().filter(ours) {
        delete(&socket, &waiting)?;
    }
    Ok(())
}

fn open() -> io::Result<OwnedFd> {
    let (family, protocol) = (AddressFamily::Netlink, SockProtocol::NetlinkRoute);
    let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(PATIENCE_SECONDS))?;
    connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    Ok(socket)
}

fn list(socket: &OwnedFd) -> io::Result<Vec<Waiting>> {
    let request = message(LIST, REQUEST | DUMP, &[0; NEIGHBOUR]);
    send(socket.as_raw_fd(), &request, MsgFlags::empty())?;
    let mut found = Vec::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        for (kind, body) in messages(&buffer[..length]) {
            match kind {
                DONE => return Ok(found),
                ERROR => return failure(body).map(|()| found),
                ENTRY => found.extend(waiting(body)),
                _ => {}
            }
        }
    }
}

fn delete(socket: &OwnedFd, waiting: &Waiting) -> io::Result<()> {
    let (family, address) = match waiting.address {
        IpAddr::V4(address) => (AddressFamily::Inet, address.octets().to_vec()),
        IpAddr::V6(address) => (AddressFamily::Inet6, address.octets().to_vec()),
    };
    let family = u8::try_from(family as i32).map_err(io::Error::other)?;
    let mut body = vec![family, 0, 0, 0];
    body.extend(waiting.link);
    body.extend([0; 4]);
    let length = u16::try_from(4 + address.len()).map_err(io::Error::other)?;
    body.extend(length.to_ne_bytes());
    body.extend(ADDRESS.to_ne_bytes());
    body.extend(address);
    let request = message(DELETE, REQUEST | ACK, &body);
    send(socket.as_raw_fd(), &request, MsgFlags::empty())?;
    let mut buffer = vec![0; BUFFER];
    let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
    let mut answers = messages(&buffer[..length]).filter(|(kind, _)| *kind == ERROR);
    match answers.next().map(|(_, body)| failure(body)) {
        // It has gone by itself.
        Some(Err(error)) if error.raw_os_error() == Some(nix::errno::Errno::ENOENT as i32) => {
            Ok(())
        }
        Some(answer) => answer,
        None => Err(io::Error::other("the kernel did not answer")),
    }
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::new();
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

/// The messages of one datagram: kind, and what follows the header.
fn messages(mut datagram: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(*datagram.first_chunk()?)).ok()?;
        let message = datagram.get(..length)?;
        let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
        let body = message.get(HEADER..)?;
        datagram = datagram
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
        Some((kind, body))
    })
}

fn failure(body: &[u8]) -> io::Result<()> {
    match body.first_chunk().map(|code| i32::from_ne_bytes(*code)) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::Error::other("the kernel's answer is cut")),
    }
}

/// The entry, if packets wait for it.
fn waiting(body: &[u8]) -> Option<Waiting> {
    let link = *body.get(4..)?.first_chunk()?;
    let state = u16::from_ne_bytes(*body.get(8..)?.first_chunk()?);
    if state & UNRESOLVED == 0 {
        return None;
    }
    let mut rest = body.get(NEIGHBOUR..)?;
    loop {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        let value = rest.get(4..length)?;
        if kind == ADDRESS {
            let address = match value.len() {
                4 => IpAddr::from(*value.first_chunk::<4>()?),
                _ => IpAddr::from(*value.first_chunk::<16>()?),
            };
            return Some(Waiting { link, address });
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry as the kernel tells it.
    fn entry(state: u16, address: &[u8]) -> Vec<u8> {
        let mut body = vec![2, 0, 0, 0];
        body.extend(7_u32.to_ne_bytes());
        body.extend(state.to_ne_bytes());
        body.extend([0, 0]);
        let length = u16::try_from(4 + address.len()).unwrap();
        for (kind, value) in [(3_u16, [0; 4].as_slice()), (ADDRESS, address)] {
            let length = if kind == ADDRESS { length } else { 8 };
            body.extend(length.to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(value);
        }
        message(ENTRY, 0, &body)
    }

    #[test]
    fn only_entries_that_packets_wait_for_are_found() {
        let mut datagram = entry(UNRESOLVED, &[10, 0, 0, 5]);
        datagram.extend(entry(0x02, &[10, 0, 0, 6]));
        datagram.extend(entry(UNRESOLVED, &[0xfd; 16]));
        let found: Vec<IpAddr> = messages(&datagram)
            .filter_map(|(_, body)| waiting(body))
            .map(|waiting| waiting.address)
            .collect();
        assert_eq!(
            found,
            [IpAddr::from([10, 0, 0, 5]), IpAddr::from([0xfd; 16])]
        );
    }

    #[test]
    fn a_cut_message_is_no_entry_and_no_success() {
        let whole = entry(UNRESOLVED, &[10, 0, 0, 5]);
        for end in 0..whole.len() {
            assert_eq!(messages(&whole[..end]).count(), 0);
            if let Some(body) = whole.get(HEADER..end) {
                assert_eq!(waiting(body), None);
            }
        }
        assert!(failure(&[0, 0]).is_err());
        assert!(failure(&0_i32.to_ne_bytes()).is_ok());
    }

    #[test]
    fn a_kernel_without_such_an_entry_has_nothing_to_drop() {
        let nobody = IpAddr::from([192, 0, 2, 200]);
        drop_waiting(&[nobody]).unwrap();
    }
}
