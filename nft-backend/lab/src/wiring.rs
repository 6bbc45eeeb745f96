//! The `ip -batch` lines that wire a lab.
//!
//! Every link is a veth pair with an upper end (towards the world) and a lower end (`eth0`). As
//! Calico and the `ptp` plugin do, addresses are /32 and /128 and the next hop is a link-local
//! address that nobody has. The neighbour entries are fixed, so neither ARP nor neighbour discovery
//! is needed, which a filter under test might disturb and the kernel's tables might have no room for.

use std::fmt::Write;
use std::iter;
use std::net::IpAddr;

use crate::{Namespace, NodeSpec, Topology};

/// The next hops and the hardware addresses of a link's ends. They can be the same on every link,
/// because a link has two ends only and nothing bridges.
struct End {
    ipv4: &'static str,
    ipv6: &'static str,
    mac: &'static str,
}

const UPPER: End = End {
    ipv4: "169.254.1.1",
    ipv6: "fe80::1",
    mac: "02:00:00:00:00:01",
};
const LOWER: End = End {
    ipv4: "169.254.1.2",
    ipv6: "fe80::2",
    mac: "02:00:00:00:00:02",
};

/// The lab's namespaces in their order: the world, the nodes, the pods.
pub(crate) struct Wiring<'a> {
    topology: &'a Topology,
    namespaces: &'a [Namespace],
    ipv6: bool,
}

impl<'a> Wiring<'a> {
    pub(crate) fn new(topology: &'a Topology, namespaces: &'a [Namespace]) -> Self {
        Self {
            topology,
            namespaces,
            ipv6: topology.has_ipv6(),
        }
    }

    /// Makes all links, from outside of the namespaces.
    pub(crate) fn links(&self) -> String {
        let mut lines = String::new();
        let world = &self.namespaces[0];
        for node in 0..self.topology.nodes.len() {
            add_link(
                &mut lines,
                world,
                &node_device(node),
                &self.namespaces[1 + node],
            );
        }
        for (pod, spec) in self.topology.pods.iter().enumerate() {
            let node = self
                .topology
                .nodes
                .iter()
                .position(|node| node.name == spec.node);
            let node = node.expect("a checked topology has the node of every pod");
            let below = &self.namespaces[1 + self.topology.nodes.len() + pod];
            add_link(
                &mut lines,
                &self.namespaces[1 + node],
                &pod_device(pod),
                below,
            );
        }
        lines
    }

    /// Each namespace with the lines that set up its interfaces, in the namespaces' order.
    pub(crate) fn interfaces(&self) -> Vec<(&'a Namespace, String)> {
        let nodes = self.topology.nodes.iter().map(|node| self.node(node));
        let pods = self
            .topology
            .pods
            .iter()
            .map(|pod| self.lower_end(&pod.addresses));
        let texts = iter::once(self.world()).chain(nodes).chain(pods);
        self.namespaces.iter().zip(texts).collect()
    }

    fn world(&self) -> String {
        let mut lines = "link set lo up\n".to_owned();
        add_addresses(&mut lines, "lo", &self.topology.externals);
        for (position, node) in self.topology.nodes.iter().enumerate() {
            let pods = self
                .topology
                .pods
                .iter()
                .filter(|pod| pod.node == node.name);
            let behind = pods.flat_map(|pod| &pod.addresses).chain(&node.addresses);
            self.upper_end(&mut lines, &node_device(position), behind);
        }
        lines
    }

    fn node(&self, node: &NodeSpec) -> String {
        let mut lines = self.lower_end(&node.addresses);
        for (position, pod) in self.topology.pods.iter().enumerate() {
            if pod.node == node.name {
                self.upper_end(&mut lines, &pod_device(position), &pod.addresses);
            }
        }
        lines
    }

    fn upper_end<'b>(
        &self,
        lines: &mut String,
        device: &str,
        behind: impl IntoIterator<Item = &'b IpAddr>,
    ) {
        self.set_up(lines, device, &LOWER);
        for address in behind {
            add_route(lines, &host(*address), device, next_hop(*address, &LOWER));
        }
    }

    fn lower_end(&self, addresses: &[IpAddr]) -> String {
        let mut lines = "link set lo up\n".to_owned();
        self.set_up(&mut lines, "eth0", &UPPER);
        add_addresses(&mut lines, "eth0", addresses);
        add_route(&mut lines, "0.0.0.0/0", "eth0", UPPER.ipv4);
        if self.ipv6 {
            add_route(&mut lines, "::/0", "eth0", UPPER.ipv6);
        }
        lines
    }

    fn set_up(&self, lines: &mut String, device: &str, other: &End) {
        if self.ipv6 {
            // Without link-local addresses the kernel sends nothing on its own.
            line(
                lines,
                format_args!("link set dev {device} addrgenmode none"),
            );
        }
        line(lines, format_args!("link set dev {device} up"));
        let neighbours = if self.ipv6 {
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
}

fn node_device(node: usize) -> String {
    format!("node{node}")
}

fn pod_device(pod: usize) -> String {
    format!("pod{pod}")
}

fn add_link(lines: &mut String, upper: &Namespace, device: &str, lower: &Namespace) {
    let (above, below) = (upper.name(), lower.name());
    let (upper_mac, lower_mac) = (UPPER.mac, LOWER.mac);
    let upper = format!("{device} netns {above} address {upper_mac}");
    let lower = format!("eth0 netns {below} address {lower_mac}");
    line(
        lines,
        format_args!("link add {upper} type veth peer name {lower}"),
    );
}

fn add_addresses(lines: &mut String, device: &str, addresses: &[IpAddr]) {
    let mut addresses = addresses.to_vec();
    addresses.sort_unstable();
    addresses.dedup();
    for address in addresses {
        let nodad = if address.is_ipv6() { " nodad" } else { "" };
        line(
            lines,
            format_args!("addr add {} dev {device}{nodad}", host(address)),
        );
    }
}

fn add_route(lines: &mut String, to: &str, device: &str, next_hop: &str) {
    line(
        lines,
        format_args!("route replace {to} via {next_hop} dev {device} onlink"),
    );
}

fn next_hop(address: IpAddr, end: &End) -> &'static str {
    if address.is_ipv6() {
        end.ipv6
    } else {
        end.ipv4
    }
}

/// The network that holds the address alone.
fn host(address: IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv6() { 128 } else { 32 })
}

fn line(lines: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(lines, "{text}").expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PodSpec;

    #[test]
    fn a_pod_is_wired_through_its_node_to_the_world() {
        let topology = Topology {
            nodes: vec![NodeSpec {
                name: "node-a".to_owned(),
                addresses: vec!["192.0.2.1".parse().unwrap()],
            }],
            pods: vec![PodSpec {
                name: "shop/web".to_owned(),
                node: "node-a".to_owned(),
                addresses: vec!["10.0.0.1".parse().unwrap()],
            }],
            externals: vec!["198.51.100.7".parse().unwrap()],
        };
        let namespaces: Vec<Namespace> = ["w", "a", "p"]
            .iter()
            .map(|name| Namespace::new((*name).to_owned()))
            .collect();
        let wiring = Wiring::new(&topology, &namespaces);
        assert_eq!(
            wiring.links(),
            "link add node0 netns w address 02:00:00:00:00:01 \
             type veth peer name eth0 netns a address 02:00:00:00:00:02\n\
             link add pod0 netns a address 02:00:00:00:00:01 \
             type veth peer name eth0 netns p address 02:00:00:00:00:02\n"
        );
        let interfaces = wiring.interfaces();
        assert_eq!(
            interfaces[1].1,
            "link set lo up\n\
             link set dev eth0 up\n\
             neigh add 169.254.1.1 lladdr 02:00:00:00:00:01 nud permanent dev eth0\n\
             addr add 192.0.2.1/32 dev eth0\n\
             route replace 0.0.0.0/0 via 169.254.1.1 dev eth0 onlink\n\
             link set dev pod0 up\n\
             neigh add 169.254.1.2 lladdr 02:00:00:00:00:02 nud permanent dev pod0\n\
             route replace 10.0.0.1/32 via 169.254.1.2 dev pod0 onlink\n"
        );
    }
}
