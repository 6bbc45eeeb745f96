//! The naive evaluator, straight from the API's text, that everything else is compared with.
//!
//! It works on the API objects themselves and shares no code with lowering, selectors, sets or the graph. It is slow
//! and plain on purpose: what is not obvious here cannot serve as the measure of the rest. The numbers in comments
//! are the rules of the semantics that a line follows.

mod block;
mod object;
mod policy;
mod port;
mod selector;

use crate::flow::{Direction, Flow, Verdict};
use crate::lower::Unread;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer};
use object::{
    address, has_finished, host_addresses, identity, namespace_of, node_of, pod_addresses,
    uses_host_network,
};
use policy::{Policy, Rule};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The objects of a cluster, ready to be asked.
pub struct Reference<'a> {
    namespaces: BTreeMap<String, &'a Namespace>,
    nodes: BTreeMap<String, &'a Node>,
    all_pods: Vec<&'a Pod>,
    live_pods: Vec<LivePod<'a>>,
    policies: BTreeMap<(String, String), Policy<'a>>,
}

/// A pod that policies speak of (8, 9), and its addresses.
struct LivePod<'a> {
    pod: &'a Pod,
    addresses: Vec<IpAddr>,
}

/// Whose an address is.
enum Owner<'a> {
    /// One live pod's.
    Pod(&'a Pod),
    /// Several live pods claim it, and nothing tells which has it.
    Contested(Vec<&'a Pod>),
    /// No pod's: a node's, or somebody's outside.
    NoPod,
}

impl<'a> Reference<'a> {
    /// Takes the objects of a cluster; of two with the same name the later counts. Each policy comes with the fields
    /// that its reader could not take into the object.
    #[must_use]
    pub fn new(
        namespaces: &'a [Namespace],
        nodes: &'a [Node],
        pods: &'a [Pod],
        policies: &'a [(NetworkPolicy, Vec<Unread>)],
    ) -> Self {
        let pods: BTreeMap<_, _> = pods
            .iter()
            .map(|pod| (identity(&pod.metadata), pod))
            .collect();
        let all_pods: Vec<&Pod> = pods.into_values().collect();
        Self {
            namespaces: namespaces
                .iter()
                .map(|namespace| (identity(&namespace.metadata).1, namespace))
                .collect(),
            nodes: nodes
                .iter()
                .map(|node| (identity(&node.metadata).1, node))
                .collect(),
            live_pods: all_pods
                .iter()
                .filter(|pod| !uses_host_network(pod) && !has_finished(pod))
                .map(|pod| LivePod {
                    pod,
                    addresses: pod_addresses(pod),
                })
                .collect(),
            all_pods,
            policies: policies
                .iter()
                .map(|(object, unread)| (identity(&object.metadata), Policy::new(object, unread)))
                .collect(),
        }
    }

    /// What becomes of a flow.
    pub fn evaluate(&self, flow: &Flow) -> Verdict {
        let own_address = flow.from == flow.to; // 6
        let own_node = self.is_node_of(flow.to, flow.from) || self.is_node_of(flow.from, flow.to); // 7
        let allowed = own_address
            || own_node
            || (self.allows(Direction::Egress, flow) && self.allows(Direction::Ingress, flow)); // 5
        if allowed {
            Verdict::Allow
        } else {
            Verdict::Deny
        }
    }

    /// Whether the flow's source lets it out, or its destination lets it in.
    fn allows(&self, direction: Direction, flow: &Flow) -> bool {
        let (subject, peer) = match direction {
            Direction::Egress => (flow.from, flow.to),
            Direction::Ingress => (flow.to, flow.from),
        };
        let subject = match self.owner(subject) {
            Owner::NoPod => return true,
            Owner::Contested(_) => return false,
            Owner::Pod(pod) => pod,
        };
        let isolating: Vec<&Policy> = self
            .policies
            .values()
            .filter(|policy| policy.selects(subject) && policy.isolates(direction))
            .collect();
        isolating.is_empty() // 1
            || isolating.iter().any(|policy| {
                policy.rules_in_force(direction).iter().any(|rule| {
                    self.rule_allows(rule, &policy.namespace(), peer, flow) // 2
                })
            })
    }

    /// Whether both a peer and a port of the rule match; nothing does where any part is not understood (26).
    fn rule_allows(&self, rule: &Rule, namespace: &str, peer: IpAddr, flow: &Flow) -> bool {
        let peers: Option<Vec<bool>> = rule
            .peers
            .iter()
            .map(|entry| self.peer_matches(entry, namespace, peer))
            .collect();
        let destination = self.only_pod(flow.to);
        let ports: Option<Vec<bool>> = rule
            .ports
            .iter()
            .map(|entry| port::matches(entry, flow.port, destination)) // 20
            .collect();
        match (peers, ports) {
            (Some(peers), Some(ports)) => {
                (peers.is_empty() || peers.contains(&true)) // 11
                    && (ports.is_empty() || ports.contains(&true)) // 17
            }
            _ => false,
        }
    }

    /// Whether the peer is the address's pod or holds the address; `None` when it is not understood.
    fn peer_matches(
        &self,
        entry: &NetworkPolicyPeer,
        policy_namespace: &str,
        address: IpAddr,
    ) -> Option<bool> {
        match (
            &entry.pod_selector,
            &entry.namespace_selector,
            &entry.ip_block,
        ) {
            (None, None, Some(block)) => block::contains(block, address), // 14
            (_, _, Some(_)) | (None, None, None) => None,
            (pods, namespaces, None) => {
                let pod = self.only_pod(address);
                let namespace = pod
                    .map(|pod| namespace_of(&pod.metadata))
                    .unwrap_or_default();
                let labels = pod
                    .and_then(|pod| pod.metadata.labels.clone())
                    .unwrap_or_default();
                let pod_matches = match pods {
                    Some(selector) => selector::matches(selector, &labels)?,
                    None => true,
                };
                let namespace_matches = match namespaces {
                    Some(selector) => {
                        selector::matches(selector, &self.namespace_labels(&namespace))?
                    }
                    None => namespace == policy_namespace, // 12
                };
                Some(pod.is_some() && pod_matches && namespace_matches)
            }
        }
    }

    /// The pod that has the address, where that is certain.
    fn only_pod(&self, address: IpAddr) -> Option<&'a Pod> {
        match self.owner(address) {
            Owner::Pod(pod) => Some(pod),
            Owner::Contested(_) | Owner::NoPod => None,
        }
    }

    fn owner(&self, address: IpAddr) -> Owner<'a> {
        let claimants: Vec<&Pod> = self
            .live_pods
            .iter()
            .filter(|live| live.addresses.contains(&address))
            .map(|live| live.pod)
            .collect();
        let staying: Vec<&Pod> = claimants
            .iter()
            .copied()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .collect();
        match (claimants.as_slice(), staying.as_slice()) {
            ([], _) => Owner::NoPod,
            ([pod], _) | (_, [pod]) => Owner::Pod(pod),
            _ => Owner::Contested(claimants),
        }
    }

    /// Whether `address` is one of the node that the pod with `pod_address` runs on.
    fn is_node_of(&self, address: IpAddr, pod_address: IpAddr) -> bool {
        let pods = match self.owner(pod_address) {
            Owner::Pod(pod) => vec![pod],
            Owner::Contested(pods) => pods,
            Owner::NoPod => vec![],
        };
        let is_no_pods = matches!(self.owner(address), Owner::NoPod);
        is_no_pods
            && pods
                .iter()
                .filter_map(|pod| node_of(pod))
                .any(|node| self.node_addresses(node).contains(&address))
    }

    /// What the node says of itself, what its pods say of it, and what its host-network pods have.
    fn node_addresses(&self, name: &str) -> Vec<IpAddr> {
        let own = self.nodes.get(name).into_iter().flat_map(|node| {
            let status = node.status.as_ref();
            let entries = status.and_then(|status| status.addresses.as_ref());
            entries
                .into_iter()
                .flatten()
                .filter(|entry| entry.type_ == "InternalIP" || entry.type_ == "ExternalIP")
                .filter_map(|entry| address(&entry.address))
        });
        let pods = self
            .all_pods
            .iter()
            .filter(|pod| node_of(pod) == Some(name));
        let as_pods_say = pods.clone().flat_map(|pod| host_addresses(pod));
        let of_host_pods = pods
            .filter(|pod| uses_host_network(pod))
            .flat_map(|pod| pod_addresses(pod));
        own.chain(as_pods_say).chain(of_host_pods).collect()
    }

    /// A namespace's labels, its name label among them (13).
    fn namespace_labels(&self, name: &str) -> BTreeMap<String, String> {
        let object = self.namespaces.get(name);
        let written = object.and_then(|object| object.metadata.labels.clone());
        let mut labels = written.unwrap_or_default();
        labels.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
        labels
    }
}
