//! What the sockets of all kinds of probes have in common.

use std::io::{self, ErrorKind};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::Socket;

use crate::listener::BUFFER;

/// Whether a filter, or the lack of a route, answered instead of the network. Other errors mean that
/// the lab itself lacks something.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
    )
}

/// Room for the packets of a whole group, whatever the system's default.
pub(super) fn enlarge_buffers(socket: &Socket) -> io::Result<()> {
    setsockopt(socket, sockopt::SndBufForce, &BUFFER)?;
    setsockopt(socket, sockopt::RcvBufForce, &BUFFER)?;
    Ok(())
}
