//! UDP: one socket for each source address sends a datagram for each probe and hears the echoes.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use super::Stamp;
use super::wave::enlarge_buffers;

/// A socket on the source address and the first port of `ports` that is free.
pub(super) fn open(from: IpAddr, mut ports: impl FnMut() -> u16) -> io::Result<UdpSocket> {
    let domain = Domain::for_address(SocketAddr::new(from, 0));
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    enlarge_buffers(&socket)?;
    loop {
        match socket.bind(&SocketAddr::new(from, ports()).into()) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            other => return other.map(|()| socket.into()),
        }
    }
}

/// Sends the probe's datagram.
pub(super) fn send(socket: &UdpSocket, to: SocketAddr, stamp: Stamp) -> io::Result<()> {
    socket.send_to(&stamp.to_bytes(), to).map(|_| ())
}

/// All echoes that have arrived.
pub(super) fn answers(socket: &UdpSocket) -> Vec<Stamp> {
    let mut buffer = [0; Stamp::LENGTH];
    let mut stamps = Vec::new();
    while let Ok((length, _)) = socket.recv_from(&mut buffer) {
        stamps.extend(Stamp::from_bytes(&buffer[..length]));
    }
    stamps
}
