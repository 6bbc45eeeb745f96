//! What nflog's netlink messages are made of.

use crate::log_prefix::LogPrefix;
use crate::netlink::{Message, Received};
use crate::nflog::{Packet, Refused};

/// `NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET`
const PACKET: u16 = 0x0400;
/// `NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG`
const CONFIG: u16 = 0x0401;

/// `NFULA_PAYLOAD` and `NFULA_PREFIX` of a packet.
const PAYLOAD: u16 = 9;
const PREFIX: u16 = 10;

/// `NFULA_CFG_CMD`, `NFULA_CFG_MODE` and `NFULA_CFG_QTHRESH` of a configuration.
const COMMAND: u16 = 1;
const MODE: u16 = 2;
const QUEUE_THRESHOLD: u16 = 5;
/// `NFULNL_CFG_CMD_BIND`
const BIND: u8 = 1;
/// `NFULNL_COPY_PACKET`
const COPY_PACKET: u8 = 2;

/// Enough for the longest IPv4 header, or an IPv6 header and its extensions, and the ports.
const COPIED: u32 = 256;

/// Asks for the packets of a group: their first bytes, each at once. Otherwise the kernel keeps up to a hundred of them
/// for a second.
pub(super) fn bind(group: u16) -> Message {
    let mut message = Message::request(CONFIG, 0).about(group);
    message.put(COMMAND, &[BIND]);
    let [a, b, c, d] = COPIED.to_be_bytes();
    message.put(MODE, &[a, b, c, d, COPY_PACKET, 0]);
    message.put(QUEUE_THRESHOLD, &1_u32.to_be_bytes());
    message.ask_for_answer();
    message
}

/// Reads a message; `None` for what is no packet, and for packets that rules of others tell about.
pub(super) fn read(message: &Received<'_>) -> Option<Refused> {
    if message.kind() != PACKET {
        return None;
    }
    let prefix = message.attribute(PREFIX)?;
    let prefix = prefix.split(|byte| *byte == 0).next()?;
    let by = LogPrefix::parse(std::str::from_utf8(prefix).ok()?)?;
    let packet = Packet::parse(message.attribute(PAYLOAD)?)?;
    Some(Refused { by, packet })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::messages;
    use crate::nflog::Content;

    const ICMP: [u8; 28] = [
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 1, 10, 10, 0, 1, 11, 8, 0, 0, 0, 0, 0, 0, 0,
    ];

    fn datagram(kind: u16, prefix: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut message = Message::request(kind, 2);
        message.put(1, &[8, 0, 2, 0]);
        message.put(PREFIX, prefix);
        message.put(PAYLOAD, payload);
        message.bytes().to_vec()
    }

    fn heard(datagram: &[u8]) -> Vec<Refused> {
        messages(datagram)
            .filter_map(|message| read(&message))
            .collect()
    }

    #[test]
    fn a_message_is_read() {
        let prefix = b"nopal-audit ingress shop_db_1c0a2d3f \0";
        let [refused] = heard(&datagram(PACKET, prefix, &ICMP)).try_into().unwrap();
        assert_eq!(
            refused.by.to_string().as_bytes(),
            &prefix[..prefix.len() - 1]
        );
        assert_eq!(refused.pod().to_string(), "10.0.1.11");
        assert_eq!(refused.peer().to_string(), "10.0.1.10");
        assert_eq!(refused.packet.content, Content::Icmp { kind: 8, code: 0 });
        assert_eq!(refused.port(), None);
    }

    #[test]
    fn what_others_log_and_what_is_no_packet_is_passed_over() {
        let ours = b"nopal-deny ingress shop_db \0";
        for (kind, prefix, payload) in [
            (CONFIG, &ours[..], &ICMP[..]),
            (PACKET, b"other ", &ICMP),
            (PACKET, b"\xff\xfe", &ICMP),
            (PACKET, b"", &ICMP),
            (PACKET, ours, &[]),
            (PACKET, ours, &[0; 20]),
        ] {
            assert_eq!(heard(&datagram(kind, prefix, payload)), []);
        }
    }

    #[test]
    fn a_group_is_bound_by_its_number() {
        let message = bind(0x0102);
        let [bound] = messages(message.bytes())
            .collect::<Vec<_>>()
            .try_into()
            .ok()
            .unwrap();
        assert_eq!(bound.attribute(COMMAND), Some(&[BIND][..]));
        assert_eq!(
            bound.attribute(MODE),
            Some(&[0, 0, 1, 0, COPY_PACKET, 0][..])
        );
        assert_eq!(message.bytes()[18..20], [1, 2]);
    }

    proptest! {
        #[test]
        fn no_datagram_makes_it_panic(
            spoilt in proptest::collection::vec((0..120_usize, any::<u8>()), 0..8),
            length in 0..140_usize,
        ) {
            let mut bytes = datagram(PACKET, b"nopal-deny ingress shop_db \0", &ICMP);
            for (at, byte) in spoilt {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            bytes.truncate(length);
            let _ = heard(&bytes);
        }
    }
}
