//! Pods that share their node's uplink, by the plugins `macvlan` and `ipvlan`.
//!
//! The node does not forward their packets: pods of a node exchange them within the uplink's driver, and
//! the world is their router. A node cannot speak to such pods over the uplink itself, so what it says
//! to them goes to the world and comes back.

use serde_json::{Value, json};

use super::lines::add_neighbour_route;
use super::onlink::{self, GATEWAY_V4, GATEWAY_V6};
use super::site::{Pod, Site};
use super::uplink::{self, device};
use super::{Plan, lines};
use crate::cni::Attachment;

/// One of the two plugins.
pub(super) struct Kind {
    plugin: &'static str,
    mode: &'static str,
}

pub(super) const MACVLAN: Kind = Kind {
    plugin: "macvlan",
    mode: "bridge",
};
pub(super) const IPVLAN: Kind = Kind {
    plugin: "ipvlan",
    mode: "l2",
};

pub(super) fn add<'a>(site: &Site<'a>, kind: &Kind, plan: &mut Plan<'a>) {
    let mut world = uplink::world_alone(site);
    for (number, node, namespace) in site.nodes() {
        let device = device(number);
        // The pods ask for their router by its addresses, and are asked by theirs.
        lines::add_addresses(&mut world, &device, &gateways(site));
        for address in site.pods_of(node).flat_map(|pod| &pod.spec.addresses) {
            add_neighbour_route(&mut world, *address, &device);
        }
        plan.interfaces.push((namespace, uplink::node(site, node)));
        let attachment = |pod: Pod<'a>| Attachment {
            node: namespace,
            pod: pod.namespace,
            addresses: onlink::alone(pod),
            plugin: kind.plugin,
            options: options(kind),
        };
        plan.attachments
            .push(site.pods_of(node).map(attachment).collect());
        for pod in site.pods_of(node) {
            let others = site
                .pods_of(node)
                .filter(|other| other.number != pod.number);
            let neighbours = others.flat_map(|other| &other.spec.addresses);
            plan.routes
                .push((pod.namespace, onlink::routes(site, neighbours)));
        }
    }
    plan.interfaces.push((site.world(), world));
}

fn gateways(site: &Site<'_>) -> Vec<std::net::IpAddr> {
    let mut gateways = vec![GATEWAY_V4];
    gateways.extend(site.ipv6.then_some(GATEWAY_V6));
    gateways
}

fn options(kind: &Kind) -> Value {
    json!({"master": "eth0", "mode": kind.mode})
}
