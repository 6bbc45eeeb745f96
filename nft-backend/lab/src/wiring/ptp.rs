//! Pods that the plugin `ptp` attaches.

use serde_json::json;

use super::onlink;
use super::site::{Pod, Site};
use super::{Plan, uplink};
use crate::cni::Attachment;

pub(super) fn add<'a>(site: &Site<'a>, plan: &mut Plan<'a>) {
    plan.interfaces.push((site.world(), uplink::world(site)));
    for (_, node, namespace) in site.nodes() {
        plan.interfaces.push((namespace, uplink::node(site, node)));
        let attachment = |pod: Pod<'a>| Attachment {
            node: namespace,
            pod: pod.namespace,
            // The plugin deletes the route of the address's network, which a network of one address lacks.
            addresses: onlink::with_length(pod, |address| if address.is_ipv6() { 127 } else { 31 }),
            plugin: "ptp",
            options: json!({}),
        };
        plan.attachments
            .push(site.pods_of(node).map(attachment).collect());
        for pod in site.pods_of(node) {
            plan.routes.push((pod.namespace, onlink::routes(site, [])));
        }
    }
}
