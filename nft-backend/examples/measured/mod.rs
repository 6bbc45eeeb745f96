//! What is measured with: 100,000 elements, 400 class chains and 600 sets.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use nft_backend::class::{Class, Classes, Dispatch, Grant, Ports};
use nft_backend::element::{PeerPorts, ProtocolPorts};
use nft_backend::names::Label;
use nft_backend::value::{AddressRange, PortRange, Protocol};

/// Two hundred classes with three sets each make 600 sets and, with their reversed ones, 400 chains.
const CLASSES: u32 = 200;
const PEERS: u32 = 498;
const PODS: u32 = 250;

/// The classes, and pods that belong to them.
pub(crate) fn classes() -> Result<Classes, Box<dyn std::error::Error>> {
    let mut classes = Classes::default();
    for number in 0..CLASSES {
        let peer = |index: u32| {
            AddressRange::single(Ipv4Addr::from_bits(0x0a00_0000 + number * PEERS + index).into())
        };
        let (protocol, ports) = (Protocol::Tcp, PortRange::single(8080));
        let peers: BTreeSet<PeerPorts> = (0..PEERS)
            .map(|index| PeerPorts {
                peer: peer(index),
                protocol,
                ports,
            })
            .collect();
        let wide = PortRange::new(30000, 30010).ok_or("a range is written the wrong way round")?;
        let block = AddressRange::prefix(Ipv4Addr::new(192, 168, 0, 0).into(), 16);
        let block = PeerPorts {
            peer: block.ok_or("no such prefix")?,
            protocol,
            ports: wide,
        };
        let dns = ProtocolPorts {
            protocol: Protocol::Udp,
            ports: PortRange::single(53),
        };
        let grants = vec![
            Grant::PeerPorts(peers),
            Grant::PeerPorts(BTreeSet::from([block])),
            Grant::Everyone(Ports::Only(BTreeSet::from([dns]))),
        ];
        classes.ingress.insert(
            label(number)?,
            Class {
                audited: false,
                counted: Vec::new(),
                grants,
                comment: Vec::new(),
            },
        );
    }
    for pod in 0..PODS {
        let address = Ipv4Addr::from_bits(0x0b00_0000 + pod).into();
        let ingress = Some(label(pod % CLASSES)?);
        classes.pods.insert(
            address,
            Dispatch {
                ingress,
                egress: None,
            },
        );
    }
    Ok(classes)
}

fn label(number: u32) -> Result<Label, Box<dyn std::error::Error>> {
    Ok(Label::new(&format!("c{number}"))?)
}
