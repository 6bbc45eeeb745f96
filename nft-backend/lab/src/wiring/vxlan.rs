//! A VXLAN tunnel between the nodes, with the entries that Flannel writes.
//!
//! Each node has a device `flannel.1` with an address and a hardware address of its own. For each other
//! node it has a neighbour entry (tunnel address to hardware address), a forwarding entry (hardware
//! address to node) and routes to that node's pods by the tunnel address. Nothing is learned. As with
//! Flannel, what a node masquerades into the tunnel has its tunnel address as the source.
//! Flannel has a second device for IPv6 pods; here one carries both families.

use std::net::IpAddr;

use super::lines::{add_route, host, line};
use super::site::Site;
use super::{Plan, bridge};
use crate::{LabError, NodeSpec};

const DEVICE: &str = "flannel.1";
const PORT: u16 = 8472;

/// What is left of 1,500 bytes after the outer headers: Ethernet, VXLAN, UDP and IPv4 or IPv6.
const MTU_OVER_V4: u32 = 1_450;
const MTU_OVER_V6: u32 = 1_430;

pub(super) fn add<'a>(site: &Site<'a>, plan: &mut Plan<'a>) -> Result<(), LabError> {
    let ends = underlay(&site.topology.nodes)?;
    let is_v6 = ends.iter().any(IpAddr::is_ipv6);
    let mtu = if is_v6 { MTU_OVER_V6 } else { MTU_OVER_V4 };
    bridge::add(site, mtu, plan);
    for (number, _, namespace) in site.nodes() {
        let mut lines = device(number, ends[number], mtu, site.ipv6);
        let mut forwarding = String::new();
        for (other, node, _) in site.nodes().filter(|(other, ..)| *other != number) {
            let (mac, to) = (mac(other), ends[other]);
            line(
                &mut forwarding,
                format_args!("fdb append {mac} dev {DEVICE} dst {to}"),
            );
            for tunnel in tunnel_addresses(other, site.ipv6) {
                line(
                    &mut lines,
                    format_args!("neigh add {tunnel} lladdr {mac} nud permanent dev {DEVICE}"),
                );
                line(
                    &mut lines,
                    format_args!("route replace {tunnel} dev {DEVICE}"),
                );
            }
            for address in site.pods_of(node).flat_map(|pod| &pod.spec.addresses) {
                let next_hop = tunnel_address(other, address.is_ipv6());
                add_route(&mut lines, &host(*address), DEVICE, &next_hop);
            }
        }
        plan.routes.push((namespace, lines));
        plan.forwarding.push((namespace, forwarding));
    }
    Ok(())
}

fn device(number: usize, local: IpAddr, mtu: u32, ipv6: bool) -> String {
    let mut lines = String::new();
    let mac = mac(number);
    line(
        &mut lines,
        format_args!(
            "link add {DEVICE} address {mac} mtu {mtu} type vxlan id 1 local {local} dev eth0 \
             dstport {PORT} nolearning"
        ),
    );
    for address in tunnel_addresses(number, ipv6) {
        line(&mut lines, format_args!("addr add {address} dev {DEVICE}"));
    }
    line(&mut lines, format_args!("link set {DEVICE} up"));
    lines
}

/// The address of each node that tunnels end at, all of one family.
fn underlay(nodes: &[NodeSpec]) -> Result<Vec<IpAddr>, LabError> {
    let of = |is_v6: bool| -> Option<Vec<IpAddr>> {
        let end = |node: &NodeSpec| {
            let mut addresses = node.addresses.iter().copied();
            addresses.find(|address| address.is_ipv6() == is_v6)
        };
        nodes.iter().map(end).collect()
    };
    of(false)
        .or_else(|| of(true))
        .ok_or(LabError::NoCommonFamily)
}

fn mac(node: usize) -> String {
    let [.., high, low] = node.to_be_bytes();
    format!("02:00:00:01:{high:02x}:{low:02x}")
}

fn tunnel_address(node: usize, is_v6: bool) -> String {
    let [.., high, low] = node.to_be_bytes();
    if is_v6 {
        format!("fd00:6c61:62:1::{high:x}:{low:x}")
    } else {
        format!("169.254.{}.{low}", 128 | (high & 127))
    }
}

fn tunnel_addresses(node: usize, ipv6: bool) -> impl Iterator<Item = String> {
    let families = if ipv6 { &[false, true][..] } else { &[false] };
    families
        .iter()
        .map(move |is_v6| tunnel_address(node, *is_v6))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(addresses: &[&str]) -> NodeSpec {
        NodeSpec {
            name: String::new(),
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn tunnels_end_at_addresses_of_a_family_that_all_nodes_have() {
        let (v4, v6) = (node(&["192.0.2.1"]), node(&["2001:db8::2"]));
        let both = node(&["2001:db8::3", "192.0.2.3"]);
        let ends = |nodes: &[&NodeSpec]| {
            let nodes: Vec<NodeSpec> = nodes.iter().map(|node| (*node).clone()).collect();
            underlay(&nodes).map(|ends| ends.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(ends(&[&v4, &both]).unwrap(), ["192.0.2.1", "192.0.2.3"]);
        assert_eq!(ends(&[&v6, &both]).unwrap(), ["2001:db8::2", "2001:db8::3"]);
        assert!(matches!(ends(&[&v4, &v6]), Err(LabError::NoCommonFamily)));
    }
}
