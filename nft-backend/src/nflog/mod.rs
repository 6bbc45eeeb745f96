//! Listens to what the rules tell about packets that a class does not allow, by nflog.
//!
//! The kernel hands each packet that a `log ... group N` statement tells about to the one socket of the network
//! namespace that is bound to the group, over netlink, with the statement's prefix and the packet's first bytes. Without
//! a socket the message is not made. The [`Listener`] reads the messages and decodes them: [`Refused`] says which class
//! refused the packet and where the packet goes.

mod attributes;
mod listener;
mod packet;

pub use listener::{Heard, ListenError, Listener};
pub use packet::{Content, Packet};

use std::net::IpAddr;

use crate::class_chain::Direction;
use crate::log_prefix::LogPrefix;

/// A packet that a class does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which class, and what becomes of the packet.
    pub by: LogPrefix,
    /// The packet.
    pub packet: Packet,
}

impl Refused {
    /// The address of the pod that the class is for: it receives for ingress and opens for egress. A reply goes the
    /// other way than its flow.
    pub fn pod(&self) -> IpAddr {
        if self.pod_is_source() {
            self.packet.source
        } else {
            self.packet.destination
        }
    }

    /// The address of the other end.
    pub fn peer(&self) -> IpAddr {
        if self.pod_is_source() {
            self.packet.destination
        } else {
            self.packet.source
        }
    }

    /// The port of the flow's destination, which policies speak of; `None` for what has no ports.
    pub fn port(&self) -> Option<u16> {
        match self.packet.content {
            Content::Transport { source, .. } if self.by.is_reply => Some(source),
            Content::Transport { destination, .. } => Some(destination),
            Content::Icmp { .. } | Content::Other(_) => None,
        }
    }

    fn pod_is_source(&self) -> bool {
        (self.by.direction == Direction::Egress) != self.by.is_reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Protocol;

    #[test]
    fn the_pod_and_the_port_follow_the_direction_and_the_way() {
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let refused = |prefix: &str| Refused {
            by: LogPrefix::parse(prefix).unwrap(),
            packet: Packet {
                source: one,
                destination: other,
                content: Content::Transport {
                    protocol: Protocol::Tcp,
                    source: 40000,
                    destination: 80,
                },
            },
        };
        for (prefix, pod, peer, port) in [
            ("nopal-deny ingress shop_db", other, one, 80),
            ("nopal-deny egress shop_db", one, other, 80),
            ("nopal-deny ingress-reply shop_db", one, other, 40000),
            ("nopal-deny egress-reply shop_db", other, one, 40000),
        ] {
            let refused = refused(prefix);
            let found = (refused.pod(), refused.peer(), refused.port());
            assert_eq!(found, (pod, peer, Some(port)), "{prefix}");
        }
    }
}
