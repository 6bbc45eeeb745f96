//! Refused packets with the names of the pods and policies that they are about.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use nft_backend::nflog::Refused;
use policy_core::{Cluster, Direction, PodId, PolicyId, RuleGraph};

/// A refused packet, named.
#[derive(Debug)]
pub struct Denial {
    /// When it was heard of.
    pub time: Timestamp,
    /// What the rules told.
    pub refused: Refused,
    /// The pod whose class refused it.
    pub pod: Option<PodId>,
    /// The pod at the other end, if it is one.
    pub peer: Option<PodId>,
    /// The policies that isolate the first pod in the direction, enforced and audited ones.
    pub policies: Vec<PolicyId>,
}

/// What names are known by.
#[derive(Default)]
pub struct Names {
    owners: BTreeMap<IpAddr, PodId>,
    known: Option<(Cluster, RuleGraph)>,
}

impl Names {
    /// The names in a cluster. With `node`, only that node's pods have policies.
    #[must_use]
    pub fn of(cluster: Cluster, node: Option<&str>) -> Self {
        let graph = match node {
            Some(node) => RuleGraph::compile_node(&cluster, node),
            None => RuleGraph::compile(&cluster),
        };
        let mut owners = BTreeMap::new();
        for pod in cluster.pods().values() {
            let addresses = graph.addresses(pod).into_iter();
            owners.extend(addresses.map(|address| (address, pod.id.clone())));
        }
        Self {
            owners,
            known: Some((cluster, graph)),
        }
    }

    /// The packet with the names that are known.
    pub fn denial(&self, refused: Refused, time: Timestamp) -> Denial {
        let pod = self.owners.get(&refused.pod()).cloned();
        let direction = match refused.by.direction {
            nft_backend::Direction::Ingress => Direction::Ingress,
            nft_backend::Direction::Egress => Direction::Egress,
        };
        let policies = pod.as_ref().map(|pod| self.isolating(pod, direction));
        Denial {
            time,
            peer: self.owners.get(&refused.peer()).cloned(),
            policies: policies.unwrap_or_default(),
            pod,
            refused,
        }
    }

    fn isolating(&self, pod: &PodId, direction: Direction) -> Vec<PolicyId> {
        let Some((cluster, graph)) = &self.known else {
            return Vec::new();
        };
        let pod = cluster.pods().get(pod);
        let policies = pod.map(|pod| graph.isolating(pod, direction));
        policies.into_iter().flatten().cloned().collect()
    }
}
