//! Pods that are empty namespaces: a container runtime attaches them, when and how it likes.

use super::site::Site;
use super::{Plan, uplink};

pub(super) fn add<'a>(site: &Site<'a>, plan: &mut Plan<'a>) {
    plan.interfaces.push((site.world(), uplink::world(site)));
    for (_, node, namespace) in site.nodes() {
        plan.interfaces.push((namespace, uplink::node(site, node)));
        for pod in site.pods_of(node) {
            plan.interfaces
                .push((pod.namespace, "link set lo up\n".to_owned()));
        }
    }
}
