//! ICMP echo of both families, on a raw socket for each source address.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::Stamp;
use super::socket::enlarge_buffers;

const REQUEST_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;

/// Type, code, checksum, identifier, sequence number.
const HEADER: usize = 8;

/// Sends and hears echoes of one source address.
#[derive(Debug)]
pub(super) struct Echo {
    pub(super) socket: Socket,
    is_v6: bool,
    identifier: u16,
}

impl Echo {
    /// A fresh `identifier` keeps connection trackers from knowing the flow.
    pub(super) fn open(from: IpAddr, identifier: u16) -> io::Result<Self> {
        let protocol = if from.is_ipv6() {
            Protocol::ICMPV6
        } else {
            Protocol::ICMPV4
        };
        let at = SocketAddr::new(from, 0);
        let kind = Type::RAW.nonblocking();
        let socket = Socket::new(Domain::for_address(at), kind, Some(protocol))?;
        enlarge_buffers(&socket)?;
        socket.bind(&at.into())?;
        Ok(Self {
            socket,
            is_v6: from.is_ipv6(),
            identifier,
        })
    }

    /// Sends the probe's request.
    pub(super) fn send(&self, to: IpAddr, stamp: Stamp) -> io::Result<()> {
        let packet = request(self.is_v6, self.identifier, stamp);
        self.socket
            .send_to(&packet, &SocketAddr::new(to, 0).into())
            .map(|_| ())
    }

    /// All replies that have arrived.
    pub(super) fn answers(&self) -> Vec<Stamp> {
        let mut buffer = [0; 256];
        let mut stamps = Vec::new();
        while let Ok(length) = (&self.socket).read(&mut buffer) {
            stamps.extend(self.stamp_of_reply(&buffer[..length]));
        }
        stamps
    }

    /// A raw IPv4 socket reads the IP header too, a raw IPv6 socket does not.
    fn stamp_of_reply(&self, packet: &[u8]) -> Option<Stamp> {
        let (message, reply) = if self.is_v6 {
            (packet, REPLY_V6)
        } else {
            (after_ipv4_header(packet)?, REPLY_V4)
        };
        let (header, payload) = message.split_at_checked(HEADER)?;
        let is_ours = header[0] == reply && header[4..6] == self.identifier.to_be_bytes();
        if is_ours {
            Stamp::from_bytes(payload)
        } else {
            None
        }
    }
}

/// What follows the IPv4 header, whose length stands in its first byte.
pub(super) fn after_ipv4_header(packet: &[u8]) -> Option<&[u8]> {
    packet.get(usize::from(packet.first()? & 0x0f) * 4..)
}

/// The kernel fills in the checksum of the IPv6 kind alone.
fn request(is_v6: bool, identifier: u16, stamp: Stamp) -> Vec<u8> {
    let kind = if is_v6 { REQUEST_V6 } else { REQUEST_V4 };
    let mut packet = vec![kind, 0, 0, 0];
    packet.extend(identifier.to_be_bytes());
    packet.extend([0, 1]);
    packet.extend(stamp.to_bytes());
    if !is_v6 {
        let checksum = checksum(&packet);
        packet[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    packet
}

/// RFC 1071, for an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let add = |sum: u16, word: u16| {
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    };
    !words.fold(0, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_sums_to_zero_with_its_checksum() {
        let stamp = Stamp {
            attempt: 0xffff_0003,
            index: 4_000,
        };
        assert_eq!(checksum(&request(false, 0xbeef, stamp)), 0);
    }

    #[test]
    fn the_ipv4_header_is_cut_off_with_its_options() {
        let mut packet = vec![0x46];
        packet.extend([0; 23]);
        packet.extend([1, 2]);
        assert_eq!(after_ipv4_header(&packet), Some(&[1, 2][..]));
        assert_eq!(after_ipv4_header(&packet[..10]), None);
    }
}
