//! Pods on links of their own, which the node routes between.

use super::Plan;
use super::site::{Pod, Site};
use super::uplink::{self, LOWER, add_link, add_route_down, lower_end, set_up};

pub(super) fn add<'a>(site: &Site<'a>, plan: &mut Plan<'a>) {
    plan.interfaces.push((site.world(), uplink::world(site)));
    for (_, node, namespace) in site.nodes() {
        let mut lines = uplink::node(site, node);
        for pod in site.pods_of(node) {
            let device = device(pod);
            add_link(&mut plan.links, namespace, &device, pod.namespace);
            set_up(&mut lines, &device, &LOWER, site.ipv6);
            for address in &pod.spec.addresses {
                add_route_down(&mut lines, &device, *address);
            }
            let pod_lines = lower_end(&pod.spec.addresses, site.ipv6);
            plan.interfaces.push((pod.namespace, pod_lines));
        }
        plan.interfaces.push((namespace, lines));
    }
}

fn device(pod: Pod<'_>) -> String {
    format!("pod{}", pod.number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Namespace, NodeSpec, PodSpec, Topology};

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
        let mut plan = Plan::default();
        add(&Site::new(&topology, &namespaces), &mut plan);
        assert_eq!(
            plan.links,
            "link add pod0 netns a address 02:00:00:00:00:01 \
             type veth peer name eth0 netns p address 02:00:00:00:00:02\n"
        );
        let lines = |name| plan.interfaces.iter().find(|(at, _)| at.name() == name);
        assert_eq!(
            lines("a").unwrap().1,
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
