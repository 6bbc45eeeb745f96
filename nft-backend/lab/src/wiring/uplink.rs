//! The links between the world and the nodes, and the two ends of any link that the lab makes itself.
//!
//! Such a link is a veth pair with an upper end (towards the world) and a lower end (`eth0`). As Calico
//! and the `ptp` plugin do, addresses are /32 and /128 and the next hop is a link-local address that
//! nobody has. The neighbour entries are fixed, so neither ARP nor neighbour discovery is needed, which
//! a filter under test might disturb and the kernel's tables might have no room for.

use std::net::IpAddr;

use super::lines::{add_addresses, add_route, host, line};
use super::site::Site;
use crate::{Namespace, NodeSpec};

/// The next hops and the hardware addresses of a link's ends. They can be the same on every link,
/// because a link has two ends only and nothing bridges.
pub(super) struct End {
    pub(super) ipv4: &'static str,
    pub(super) ipv6: &'static str,
    mac: &'static str,
}

pub(super) const UPPER: End = End {
    ipv4: "169.254.1.1",
    ipv6: "fe80::1",
    mac: "02:00:00:00:00:01",
};
pub(super) const LOWER: End = End {
    ipv4: "169.254.1.2",
    ipv6: "fe80::2",
    mac: "02:00:00:00:00:02",
};

/// Makes the links, from outside of the namespaces.
pub(super) fn links(site: &Site<'_>) -> String {
    let mut lines = String::new();
    for (number, _, namespace) in site.nodes() {
        add_link(&mut lines, site.world(), &device(number), namespace);
    }
    lines
}

/// The world's lines, when nodes forward to their pods.
pub(super) fn world(site: &Site<'_>) -> String {
    let mut lines = world_alone(site);
    for (number, node, _) in site.nodes() {
        for address in site.pods_of(node).flat_map(|pod| &pod.spec.addresses) {
            add_route_down(&mut lines, &device(number), *address);
        }
    }
    lines
}

/// The world's lines without routes to pods.
pub(super) fn world_alone(site: &Site<'_>) -> String {
    let mut lines = "link set lo up\n".to_owned();
    add_addresses(&mut lines, "lo", &site.topology.externals);
    for (number, node, _) in site.nodes() {
        set_up(&mut lines, &device(number), &LOWER, site.ipv6);
        for address in &node.addresses {
            add_route_down(&mut lines, &device(number), *address);
        }
    }
    lines
}

/// The lines of a node's end.
pub(super) fn node(site: &Site<'_>, node: &NodeSpec) -> String {
    lower_end(&node.addresses, site.ipv6)
}

/// The world's device towards a node.
pub(super) fn device(node: usize) -> String {
    format!("node{node}")
}

/// Makes one link, whose lower end is called `eth0`.
pub(super) fn add_link(lines: &mut String, upper: &Namespace, device: &str, lower: &Namespace) {
    let (above, below) = (upper.name(), lower.name());
    let (upper_mac, lower_mac) = (UPPER.mac, LOWER.mac);
    let upper = format!("{device} netns {above} address {upper_mac}");
    let lower = format!("eth0 netns {below} address {lower_mac}");
    line(
        lines,
        format_args!("link add {upper} type veth peer name {lower}"),
    );
}

/// The lines of a lower end with these addresses, by which everything goes.
pub(super) fn lower_end(addresses: &[IpAddr], ipv6: bool) -> String {
    let mut lines = "link set lo up\n".to_owned();
    set_up(&mut lines, "eth0", &UPPER, ipv6);
    add_addresses(&mut lines, "eth0", addresses);
    add_route(&mut lines, "0.0.0.0/0", "eth0", UPPER.ipv4);
    if ipv6 {
        add_route(&mut lines, "::/0", "eth0", UPPER.ipv6);
    }
    lines
}

/// Readies the end that faces `other`.
pub(super) fn set_up(lines: &mut String, device: &str, other: &End, ipv6: bool) {
    if ipv6 {
        // Without link-local addresses the kernel sends nothing on its own.
        line(
            lines,
            format_args!("link set dev {device} addrgenmode none"),
        );
    }
    line(lines, format_args!("link set dev {device} up"));
    let neighbours = if ipv6 {
        &[other.ipv4, other.ipv6][..]
    } else {
        &[other.ipv4]
    };
    for next_hop in neighbours {
        let mac = other.mac;
        line(
            lines,
            format_args!("neigh add {next_hop} lladdr {mac} nud permanent dev {device}"),
        );
    }
}

/// A route from an upper end to what is behind the lower one.
pub(super) fn add_route_down(lines: &mut String, device: &str, address: IpAddr) {
    add_network_down(lines, device, &host(address), address.is_ipv6());
}

/// The world's line for a network that a node forwards to.
pub(crate) fn network(node: usize, network: &str) -> String {
    let mut line = String::new();
    add_network_down(&mut line, &device(node), network, network.contains(':'));
    line
}

fn add_network_down(lines: &mut String, device: &str, network: &str, is_v6: bool) {
    let next_hop = if is_v6 { LOWER.ipv6 } else { LOWER.ipv4 };
    add_route(lines, network, device, next_hop);
}
