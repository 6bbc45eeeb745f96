//! TCP connections, and SCTP associations where the kernel has SCTP.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::socket::is_refusal;
use crate::source_port::SourcePorts;

/// Begins to connect, or gives nothing if that was refused at once.
pub(super) fn begin(
    from: IpAddr,
    to: SocketAddr,
    protocol: Protocol,
    ports: &SourcePorts,
) -> io::Result<Option<Socket>> {
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(to), kind, Some(protocol))?;
    // Closing resets the connection, so neither end and no connection tracker remembers it.
    socket.set_linger(Some(Duration::ZERO))?;
    ports.bind(&socket, from, ports.next())?;
    match socket.connect(&to.into()) {
        Ok(()) => Ok(Some(socket)),
        Err(error) if error.raw_os_error() == Some(Errno::EINPROGRESS as i32) => Ok(Some(socket)),
        Err(error) if is_refusal(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a connection that has news is made. Otherwise it failed.
pub(super) fn is_made(socket: &Socket) -> bool {
    matches!(socket.take_error(), Ok(None)) && socket.peer_addr().is_ok()
}
