//! The first bytes of an IP packet: where it goes, and what it carries.

use std::net::IpAddr;

use etherparse::LaxIpSlice;

use crate::value::Protocol;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// What a packet's headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// The source address.
    pub source: IpAddr,
    /// The destination address.
    pub destination: IpAddr,
    /// What it carries.
    pub content: Content,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// TCP, UDP or SCTP.
    Transport {
        /// The protocol.
        protocol: Protocol,
        /// The source port.
        source: u16,
        /// The destination port.
        destination: u16,
    },
    /// ICMP or `ICMPv6`.
    Icmp {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
    },
    /// Another IP protocol, by number; also one whose header is cut off, and a fragment: with conntrack in the rules the
    /// kernel joins fragments before they come to them.
    Other(u8),
}

impl Packet {
    /// Reads a packet of either family, of which the end may be missing; `None` for what is no IP packet.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (packet, _) = LaxIpSlice::from_slice(bytes).ok()?;
        let payload = packet.payload();
        let number = payload.ip_number.0;
        Some(Self {
            source: packet.source_addr(),
            destination: packet.destination_addr(),
            content: if payload.fragmented {
                Content::Other(number)
            } else {
                content(number, payload.payload)
            },
        })
    }
}

/// The three protocols with ports all begin with the source and the destination port.
fn content(number: u8, payload: &[u8]) -> Content {
    match (number, Protocol::from_number(number), payload) {
        (_, Some(protocol), [a, b, c, d, ..]) => Content::Transport {
            protocol,
            source: u16::from_be_bytes([*a, *b]),
            destination: u16::from_be_bytes([*c, *d]),
        },
        (ICMP | ICMPV6, _, [kind, code, ..]) => Content::Icmp {
            kind: *kind,
            code: *code,
        },
        _ => Content::Other(number),
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    use super::*;

    const V4: [[u8; 4]; 2] = [[10, 0, 1, 10], [10, 0, 1, 11]];
    const V6: [[u8; 16]; 2] = [
        [0xfd, 0, 0, 0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x10],
        [0xfd, 0, 0, 0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x11],
    ];
    const PAYLOAD: [u8; 600] = [7; 600];

    fn transport(protocol: Protocol) -> Content {
        Content::Transport {
            protocol,
            source: 40000,
            destination: 5432,
        }
    }

    /// Packets of both families, each with what it carries.
    fn packets() -> Vec<(Vec<u8>, Content)> {
        let mut packets = Vec::new();
        let v4 = || PacketBuilder::ipv4(V4[0], V4[1], 64);
        let v6 = || PacketBuilder::ipv6(V6[0], V6[1], 64);
        for step in [&v4 as &dyn Fn() -> _, &v6] {
            let mut tcp = Vec::new();
            let builder = step().tcp(40000, 5432, 0, 1000).syn();
            builder.write(&mut tcp, &PAYLOAD).unwrap();
            packets.push((tcp, transport(Protocol::Tcp)));
            let mut udp = Vec::new();
            let builder = step().udp(40000, 5432);
            builder.write(&mut udp, &PAYLOAD).unwrap();
            packets.push((udp, transport(Protocol::Udp)));
            let mut sctp = Vec::new();
            let header = [0x9c, 0x40, 0x15, 0x38, 0, 0, 0, 0, 0, 0, 0, 0];
            step().write(&mut sctp, 132.into(), &header).unwrap();
            packets.push((sctp, transport(Protocol::Sctp)));
        }
        let mut echo = Vec::new();
        let builder = PacketBuilder::ipv4(V4[0], V4[1], 64).icmpv4_echo_request(1, 2);
        builder.write(&mut echo, &PAYLOAD).unwrap();
        packets.push((echo, Content::Icmp { kind: 8, code: 0 }));
        let mut echo = Vec::new();
        let builder = PacketBuilder::ipv6(V6[0], V6[1], 64).icmpv6_echo_request(1, 2);
        builder.write(&mut echo, &PAYLOAD).unwrap();
        packets.push((echo, Content::Icmp { kind: 128, code: 0 }));
        packets
    }

    #[test]
    fn ends_and_content_are_read_though_the_end_of_the_packet_is_missing() {
        for (bytes, content) in packets() {
            let is_v4 = bytes[0] >> 4 == 4;
            let [source, destination] = if is_v4 {
                V4.map(IpAddr::from)
            } else {
                V6.map(IpAddr::from)
            };
            let packet = Packet {
                source,
                destination,
                content,
            };
            for length in [bytes.len(), 64.min(bytes.len())] {
                assert_eq!(Packet::parse(&bytes[..length]), Some(packet));
            }
        }
    }

    #[test]
    fn a_cut_header_or_a_fragment_has_no_ports() {
        let (mut tcp, _) = packets().remove(0);
        let content = |bytes: &[u8]| Packet::parse(bytes).map(|packet| packet.content);
        assert_eq!(content(&tcp[..23]), Some(Content::Other(6)));
        assert_eq!(content(&tcp[..19]), None);
        assert_eq!(content(&[]), None);
        tcp[7] = 10;
        assert_eq!(content(&tcp), Some(Content::Other(6)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Packet::parse(&bytes);
        }

        /// Most random bytes fail at the version, so packets are spoilt as well.
        #[test]
        fn no_spoilt_packet_makes_it_panic(
            which in 0..packets().len(),
            spoilt in proptest::collection::vec((0..80_usize, any::<u8>()), 1..6),
            length in 0..120_usize,
        ) {
            let (mut bytes, _) = packets().swap_remove(which);
            for (at, byte) in spoilt {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            bytes.truncate(length);
            let _ = Packet::parse(&bytes);
        }
    }
}
