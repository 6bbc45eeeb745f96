//! The part of a cluster that a flow is decided by. Compiling it costs next to nothing, where the graph of a whole
//! cluster serves many questions.

use crate::cluster::{Cluster, Pod};
use crate::evaluate::selects;
use std::net::IpAddr;

impl Cluster {
    /// What decides about flows between `ends` and nothing else: the pods and nodes that these addresses belong to, with
    /// their namespaces and the policies that select them. The part's graph decides such a flow as the whole cluster's
    /// does, for the same reasons; to any other flow its answer means nothing.
    #[must_use]
    pub fn between(&self, ends: &[IpAddr]) -> Self {
        let has_end = |addresses: &[IpAddr]| addresses.iter().any(|address| ends.contains(address));
        let mut part = Self::default();
        let mut subjects: Vec<&Pod> = Vec::new();
        for pod in self.pods().values() {
            // A pod's host addresses tell whose node an address is (semantics, rule 7).
            if has_end(&pod.addresses) || has_end(&pod.host_addresses) {
                part.insert_namespace(self.namespaces()[&pod.id.namespace].clone());
                part.insert_pod(Pod::clone(pod));
            }
            if pod.is_selectable() && has_end(&pod.addresses) {
                subjects.push(pod);
            }
        }
        for node in self
            .nodes()
            .values()
            .filter(|node| has_end(&node.addresses))
        {
            part.insert_node(node.clone());
        }
        for policy in self.policies().values() {
            if subjects.iter().any(|pod| selects(policy, pod)) {
                part.insert_policy(policy.as_ref().clone());
            }
        }
        part
    }
}
