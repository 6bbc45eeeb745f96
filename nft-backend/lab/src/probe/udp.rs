//! UDP: one socket for each source address sends a datagram for each probe and hears the echoes.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use super::Stamp;
use super::socket::enlarge_buffers;
use crate::source_port::SourcePorts;

/// A socket on the source address and `port`, or another of `ports` if that is in use.
pub(super) fn open(from: IpAddr, port: u16, ports: &SourcePorts) -> io::Result<UdpSocket> {
    let domain = Domain::for_address(SocketAddr::new(from, port));
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    enlarge_buffers(&socket)?;
    ports.bind(&socket, from, port)?;
    Ok(socket.into())
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
