//! What pods have that a plugin attaches: the gateway, which is an address that their node or the world
//! has besides, and the routes that the plugin's configuration cannot ask for.
//!
//! A topology may give any address to any pod, so no prefix is true of a node's pods. Plugins give each
//! address as a network of its own, and the lab adds the routes that a common prefix would imply.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::lines::{add_neighbour_route, host, line};
use super::site::{Pod, Site};

/// The gateways; the IPv6 one is a unique local address, since the `bridge` plugin refuses a link-local one.
pub(super) const GATEWAY_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1));
pub(super) const GATEWAY_V6: IpAddr =
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x6c61, 0x62, 0, 0, 0, 0, 1));

/// The gateway of an address's family.
pub(super) fn gateway(address: IpAddr) -> IpAddr {
    if address.is_ipv6() {
        GATEWAY_V6
    } else {
        GATEWAY_V4
    }
}

/// A pod's addresses for a plugin, each alone in its network.
pub(super) fn alone(pod: Pod<'_>) -> Vec<(IpAddr, u8, IpAddr)> {
    let length = |address: &IpAddr| if address.is_ipv6() { 128 } else { 32 };
    with_length(pod, length)
}

/// A pod's addresses for a plugin, with prefixes of these lengths.
pub(super) fn with_length(
    pod: Pod<'_>,
    length: impl Fn(&IpAddr) -> u8,
) -> Vec<(IpAddr, u8, IpAddr)> {
    let mut addresses = pod.spec.addresses.clone();
    addresses.sort_unstable();
    addresses.dedup();
    let address = |address: IpAddr| (address, length(&address), gateway(address));
    addresses.into_iter().map(address).collect()
}

/// The pod's routes: to the gateways, by these to everything, and straight to `neighbours`.
pub(super) fn routes<'p>(
    site: &Site<'_>,
    neighbours: impl IntoIterator<Item = &'p IpAddr>,
) -> String {
    let mut lines = "link set lo up\n".to_owned();
    let gateways = if site.ipv6 {
        &[GATEWAY_V4, GATEWAY_V6][..]
    } else {
        &[GATEWAY_V4]
    };
    for gateway in gateways {
        let everything = if gateway.is_ipv6() {
            "::/0"
        } else {
            "0.0.0.0/0"
        };
        line(
            &mut lines,
            format_args!("route replace {} dev eth0", host(*gateway)),
        );
        line(
            &mut lines,
            format_args!("route replace {everything} via {gateway} dev eth0"),
        );
    }
    for neighbour in neighbours {
        add_neighbour_route(&mut lines, *neighbour, "eth0");
    }
    lines
}
