//! Every form of grant and of configuration.

use std::collections::BTreeSet;

use nft_backend::class::{Classes, Dispatch, Grant, Ports, SharedPeers};
use nft_backend::config::{Config, Deny, Log};
use nft_backend::value::{AddressRange, Protocol};

use super::{boxes, class, ip, label, port, range, single};

/// Every form of grant, in both families, with ranges that the kernel tells in another form.
pub(crate) fn every_grant() -> Classes {
    let addresses = |ranges: &[AddressRange]| ranges.iter().copied().collect::<BTreeSet<_>>();
    let prefix = |address, length| AddressRange::prefix(ip(address), length).unwrap();
    let web = label("web");
    let only = |ports: &[(Protocol, u16)]| {
        Ports::Only(
            ports
                .iter()
                .map(|(protocol, number)| port(*protocol, *number))
                .collect(),
        )
    };
    let wide = [
        (Protocol::Tcp, 0, 65535),
        (Protocol::Udp, 4096, 8191),
        (Protocol::Sctp, 7, 7),
    ];
    let ingress = class(
        &["every form", "of grant"],
        [
            Grant::Everyone(only(&[(Protocol::Sctp, 3868), (Protocol::Udp, 53)])),
            Grant::Peers(addresses(&[
                single("10.0.0.1"),
                prefix("10.2.0.0", 16),
                range("10.3.0.0", "10.3.0.6"),
                range("10.3.0.7", "10.3.0.9"),
                single("fd00::1"),
                prefix("fd00:2::", 32),
                prefix("255.255.255.0", 24),
            ])),
            Grant::PeerPorts(boxes(&[prefix("0.0.0.0", 0), prefix("::", 0)], &wide)),
            Grant::Shared {
                peers: label("team"),
                ports: only(&[(Protocol::Tcp, 1)]),
            },
            Grant::Shared {
                peers: label("team"),
                ports: Ports::All,
            },
        ],
    );
    let team = [
        single("10.9.0.1"),
        prefix("10.8.0.0", 24),
        single("fd00:9::1"),
        prefix("fd00:8::", 64),
    ];
    let team = SharedPeers {
        addresses: addresses(&team),
        comment: vec!["team=a".to_owned()],
    };
    let everyone = class(&[], [Grant::Everyone(Ports::All)]);
    let dispatch = Dispatch {
        ingress: Some(web.clone()),
        egress: Some(web.clone()),
    };
    Classes {
        shared_peers: [(label("team"), team)].into(),
        ingress: [(web.clone(), ingress)].into(),
        egress: [(web, everyone)].into(),
        pods: [
            (ip("10.1.0.2"), dispatch.clone()),
            (ip("fd00:1::2"), dispatch),
        ]
        .into(),
    }
}

/// With marks and without, dropping and rejecting.
pub(crate) fn configs() -> [Config; 3] {
    let quiet = Config {
        log: Log::None,
        deny: Deny::Reject,
        ..Config::default()
    };
    [
        Config::default(),
        Config {
            marks: None,
            log: Log::Kernel(Log::RATE),
            ..Config::default()
        },
        quiet,
    ]
}
