//! Pods of a node on a bridge, by the plugin `bridge`.

use serde_json::json;

use super::lines::add_neighbour_route;
use super::onlink;
use super::site::{Pod, Site};
use super::{Plan, uplink};
use crate::cni::Attachment;

/// The bridge, as Flannel and many others call it.
const BRIDGE: &str = "cni0";

/// What a veth takes.
pub(super) const MTU: u32 = 1_500;

pub(super) fn add<'a>(site: &Site<'a>, mtu: u32, plan: &mut Plan<'a>) {
    plan.interfaces.push((site.world(), uplink::world(site)));
    for (_, node, namespace) in site.nodes() {
        plan.interfaces.push((namespace, uplink::node(site, node)));
        let attachment = |pod: Pod<'a>| Attachment {
            node: namespace,
            pod: pod.namespace,
            addresses: onlink::alone(pod),
            plugin: "bridge",
            // With a hairpin a pod also reaches itself through a Service (kubelet asks for it as well).
            options: json!({"bridge": BRIDGE, "isGateway": true, "hairpinMode": true, "mtu": mtu}),
        };
        plan.attachments
            .push(site.pods_of(node).map(attachment).collect());
        let mut to_pods = String::new();
        for pod in site.pods_of(node) {
            let others = site
                .pods_of(node)
                .filter(|other| other.number != pod.number);
            let neighbours = others.flat_map(|other| &other.spec.addresses);
            plan.routes
                .push((pod.namespace, onlink::routes(site, neighbours)));
            for address in &pod.spec.addresses {
                add_neighbour_route(&mut to_pods, *address, BRIDGE);
            }
        }
        plan.routes.push((namespace, to_pods));
    }
}
