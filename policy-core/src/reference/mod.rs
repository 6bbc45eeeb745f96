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
use std::collections::{BTreeMap, BTreeSet};
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
        self.decide(flow).0
    }

    /// Why, in the sentences of flow tables, all that apply.
    pub fn because(&self, flow: &Flow) -> BTreeSet<String> {
        self.decide(flow).1
    }

    fn decide(&self, flow: &Flow) -> (Verdict, BTreeSet<String>) {
        let because = |sentence: &str| BTreeSet::from([sentence.to_owned()]);
        if flow.from == flow.to {
            return (Verdict::Allow, because("own address")); // 6
        }
        if self.is_node_of(flow.to, flow.from) || self.is_node_of(flow.from, flow.to) {
            return (Verdict::Allow, because("own node")); // 7
        }
        let contests: BTreeSet<String> = [flow.from, flow.to]
            .into_iter()
            .filter_map(|end| self.contest(end))
            .collect();
        if !contests.is_empty() {
            return (Verdict::Deny, contests);
        }
        let egress = self.side(Direction::Egress, flow);
        let ingress = self.side(Direction::Ingress, flow);
        match (egress, ingress) {
            (Ok(out), Ok(into)) => (Verdict::Allow, &out | &into), // 5
            (Err(out), Err(into)) => (Verdict::Deny, &out | &into),
            (Err(closed), Ok(_)) | (Ok(_), Err(closed)) => (Verdict::Deny, closed),
        }
    }

    /// Whether the flow's source lets it out, or its destination lets it in, and why.
    fn side(
        &self,
        direction: Direction,
        flow: &Flow,
    ) -> Result<BTreeSet<String>, BTreeSet<String>> {
        let (subject, peer) = match direction {
            Direction::Egress => (flow.from, flow.to),
            Direction::Ingress => (flow.to, flow.from),
        };
        let not_isolated = BTreeSet::from([format!("not isolated for {direction}")]);
        let Some(subject) = self.only_pod(subject) else {
            return Ok(not_isolated);
        };
        let isolating: Vec<&Policy> = self
            .policies
            .values()
            .filter(|policy| policy.selects(subject) && policy.isolates(direction))
            .collect();
        if isolating.is_empty() {
            return Ok(not_isolated); // 1
        }
        let mut admitting = BTreeSet::new();
        for policy in &isolating {
            for (index, rule) in policy.rules_in_force(direction) {
                if self.rule_allows(&rule, &policy.namespace(), peer, flow) {
                    admitting.insert(format!("{} {direction}[{index}]", policy.name()));
                }
            }
        }
        if admitting.is_empty() {
            let is_audited = |policy: &&Policy| {
                policy.is_audited(self.namespaces.get(&policy.namespace()).copied())
            };
            if isolating.iter().all(is_audited) {
                let would_deny = |policy: &&Policy| {
                    format!(
                        "audit: would be denied by {} for {direction}",
                        policy.name()
                    )
                };
                return Ok(isolating.iter().map(would_deny).collect());
            }
            let isolates = |policy: &&Policy| format!("{} isolates {direction}", policy.name());
            Err(isolating.iter().map(isolates).collect())
        } else {
            Ok(admitting) // 2
        }
    }

    fn contest(&self, address: IpAddr) -> Option<String> {
        let Owner::Contested(pods) = self.owner(address) else {
            return None;
        };
        let names: Vec<String> = pods
            .iter()
            .map(|pod| {
                let (namespace, name) = identity(&pod.metadata);
                format!("{namespace}/{name}")
            })
            .collect();
        Some(format!("{address} is claimed by {}", names.join(" and ")))
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
