//! The netlink socket, and the network namespace that it belongs to.

use std::io;
use std::path::Path;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket as NetlinkSocket, SocketAddr};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{RcvBufForce, SndBuf, SndBufForce};

use crate::namespace::in_namespace;

/// Room for the answers to some thousand refused messages.
const RECEIVE_BUFFER: usize = 4 << 20;

/// What the transactions need of a socket. Tests put their own in its place.
pub(crate) trait Socket: Send {
    /// Sends one datagram. The kernel has worked it off, and its answers are there, when this returns.
    fn send(&mut self, datagram: &[u8]) -> Result<(), Errno>;

    /// Reads answers that are there; `EAGAIN` when there are none, `ENOBUFS` when some were lost.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Errno>;

    /// Makes room for a datagram of this size.
    fn make_room(&mut self, size: usize) -> Result<(), Errno>;

    /// The netlink port that the kernel knows it by; 0 if it does not tell.
    fn port(&self) -> u32;
}

/// A netfilter socket of a namespace; of the one that this program runs in, if none is named.
pub(crate) fn open(namespace: Option<&Path>) -> io::Result<Box<dyn Socket>> {
    let socket = in_namespace(namespace, || {
        let socket = NetlinkSocket::new(NETLINK_NETFILTER)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Without the message that an error is about, and with the kernel's own words.
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER)?;
        Ok(socket)
    })?;
    Ok(Box::new(KernelSocket(socket)))
}

/// It is never cloned: a clone would close the descriptor of the other.
struct KernelSocket(NetlinkSocket);

impl Socket for KernelSocket {
    fn send(&mut self, datagram: &[u8]) -> Result<(), Errno> {
        self.0
            .send(datagram, 0)
            .map(|_| ())
            .map_err(|error| errno(&error))
    }

    fn receive(&mut self, mut buffer: &mut [u8]) -> Result<usize, Errno> {
        self.0
            .recv(&mut buffer, libc::MSG_DONTWAIT)
            .map_err(|error| errno(&error))
    }

    /// Beyond the limit that the administrator set, which needs `CAP_NET_ADMIN`, and otherwise up to it.
    fn make_room(&mut self, size: usize) -> Result<(), Errno> {
        setsockopt(&self.0, SndBufForce, &size).or_else(|_| setsockopt(&self.0, SndBuf, &size))
    }

    fn port(&self) -> u32 {
        let mut address = SocketAddr::new(0, 0);
        self.0
            .get_address(&mut address)
            .map_or(0, |()| address.port_number())
    }
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
