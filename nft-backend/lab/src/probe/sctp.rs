//! SCTP for kernels without it: a raw INIT chunk, and a raw socket at the destination that sees it.
//!
//! An INIT that arrives shows that the flow's first packet passes; nobody answers it.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::Stamp;
use super::echo::after_ipv4_header;
use super::socket::enlarge_buffers;

/// Bits of the initiate tag that hold the probe's position in its group; the rest is the attempt.
pub(super) const INDEX_BITS: u32 = 13;

/// The common header: ports, verification tag, checksum.
const HEADER: usize = 12;

/// Where the initiate tag of the INIT chunk stands.
const TAG: usize = HEADER + 4;

/// A raw SCTP socket on an address, to send from it or to hear what comes to it.
pub(super) fn open(address: IpAddr) -> io::Result<Socket> {
    let at = SocketAddr::new(address, 0);
    let kind = Type::RAW.nonblocking();
    let socket = Socket::new(Domain::for_address(at), kind, Some(Protocol::SCTP))?;
    enlarge_buffers(&socket)?;
    socket.bind(&at.into())?;
    Ok(socket)
}

/// Sends the probe's INIT.
pub(super) fn send(
    socket: &Socket,
    source_port: u16,
    to: SocketAddr,
    stamp: Stamp,
) -> io::Result<()> {
    let packet = init(source_port, to.port(), stamp);
    socket
        .send_to(&packet, &SocketAddr::new(to.ip(), 0).into())
        .map(|_| ())
}

/// The destination port and the stamp's tag of all INITs that have arrived.
pub(super) fn arrivals(socket: &Socket, is_v6: bool) -> Vec<(u16, u32)> {
    let mut buffer = [0; 256];
    let mut arrivals = Vec::new();
    let mut socket = socket;
    while let Ok(length) = socket.read(&mut buffer) {
        let packet = Some(&buffer[..length]);
        let packet = if is_v6 {
            packet
        } else {
            packet.and_then(after_ipv4_header)
        };
        arrivals.extend(packet.and_then(port_and_tag));
    }
    arrivals
}

/// The initiate tag: unique in a lab for half a million attempts, and never 0, which the protocol
/// forbids.
pub(super) fn tag(stamp: Stamp) -> u32 {
    let index = u32::try_from(stamp.index).expect("a group is small");
    (stamp.attempt << INDEX_BITS) | index
}

fn port_and_tag(packet: &[u8]) -> Option<(u16, u32)> {
    let port = packet.get(2..4)?.try_into().ok()?;
    let tag = packet.get(TAG..TAG + 4)?.try_into().ok()?;
    Some((u16::from_be_bytes(port), u32::from_be_bytes(tag)))
}

/// RFC 9260, sections 3.1 and 3.3.2.
fn init(source_port: u16, port: u16, stamp: Stamp) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER + 20);
    packet.extend(source_port.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend([0; 8]);
    packet.extend([1, 0, 0, 20]);
    packet.extend(tag(stamp).to_be_bytes());
    packet.extend(65_535_u32.to_be_bytes());
    packet.extend(1_u16.to_be_bytes());
    packet.extend(1_u16.to_be_bytes());
    packet.extend(1_u32.to_be_bytes());
    let checksum = crc32c(&packet);
    // Appendix A of the RFC: the checksum goes out with its low byte first.
    packet[8..12].copy_from_slice(&checksum.to_le_bytes());
    packet
}

/// The Castagnoli CRC of RFC 9260. Connection tracking drops packets where it is wrong.
fn crc32c(bytes: &[u8]) -> u32 {
    const REVERSED_POLYNOMIAL: u32 = 0x82f6_3b78;
    let step = |crc: u32| {
        let carry = if crc & 1 == 1 { REVERSED_POLYNOMIAL } else { 0 };
        (crc >> 1) ^ carry
    };
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_published_test_vectors() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        // RFC 3720, appendix B.4: 32 bytes of zeroes.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn an_init_is_read_back_with_its_port_and_tag() {
        let stamp = Stamp {
            attempt: 3,
            index: 0x11,
        };
        let packet = init(40_000, 3_868, stamp);
        assert_eq!(packet.len(), 32);
        assert_eq!(port_and_tag(&packet), Some((3_868, (3 << 13) | 0x11)));
        assert_eq!(port_and_tag(&packet[..12]), None);
    }
}
