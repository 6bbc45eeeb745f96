//! The part of the input that one question is about. Lowering all policies takes longer than answering it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Builder, Inventory, MadeUp, addresses, is_no_policy, lowered_policies};
use crate::manifest::{Manifests, Object};

impl<'a> Inventory<'a> {
    /// The cluster with addresses for all, as far as it decides about flows between two ends, which are named as in
    /// [`Inventory::end`]: of the policies it may have those alone that can select a pod there. No policy selects pods of
    /// another namespace than its own.
    #[must_use]
    pub fn of_ends(manifests: &'a Manifests, ends: [&str; 2]) -> Self {
        let builder = Builder::read(manifests, is_no_policy);
        if addresses::are_missing(&builder.pods, &builder.nodes) {
            // What is given out keeps clear of the blocks of all policies.
            return Self::new(manifests, MadeUp::Addresses);
        }
        let mut inventory = builder.finish();
        let homes = inventory.homes(ends);
        let at_ends = |object: &Object| {
            let namespace = object.reference.namespace.as_deref();
            namespace.is_some_and(|namespace| homes.contains(namespace))
        };
        for (policy, fields) in lowered_policies(manifests, at_ends) {
            inventory.policies.insert(policy.id.clone(), fields);
            inventory.cluster.insert_policy(policy);
        }
        inventory
    }

    /// The namespaces of all pods that the addresses of these ends belong to; an end that is none has none.
    fn homes(&self, ends: [&str; 2]) -> BTreeSet<Arc<str>> {
        let ends = ends.into_iter().filter_map(|end| self.end(end).ok());
        let addresses: Vec<IpAddr> = ends.flat_map(|end| end.addresses).collect();
        let pods = self.cluster.pods().values();
        pods.filter(|pod| pod.addresses.iter().any(|own| addresses.contains(own)))
            .map(|pod| pod.id.namespace.clone())
            .collect()
    }
}
