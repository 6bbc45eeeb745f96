//! The naive way, for comparison: every policy against every pod, every peer against every pod.

use policy_core::policy::{Namespaces, Peer, Peers, Rule};
use policy_core::{Cluster, Direction, Pod, Policy};

/// Resolves every policy to (subject, peer) pairs and counts them.
pub(crate) fn resolve(cluster: &Cluster) -> usize {
    let mut pairs = 0;
    for policy in cluster.policies().values() {
        let subjects = cluster.pods().values().filter(|pod| {
            pod.id.namespace == policy.id.namespace && policy.subjects.matches(&pod.labels)
        });
        let subjects = subjects.count();
        if subjects == 0 {
            continue;
        }
        for direction in Direction::ALL {
            for rule in policy.rules(direction) {
                let Rule::Allow {
                    peers: Peers::Listed(peers),
                    ..
                } = rule
                else {
                    continue;
                };
                let matching = |peer: &&Peer| {
                    cluster
                        .pods()
                        .values()
                        .filter(|pod| is_peer(cluster, policy, peer, pod))
                        .count()
                };
                pairs += subjects * peers.iter().map(|peer| matching(&peer)).sum::<usize>();
            }
        }
    }
    pairs
}

fn is_peer(cluster: &Cluster, policy: &Policy, peer: &Peer, pod: &Pod) -> bool {
    match peer {
        Peer::Block(block) => {
            let addresses = block.addresses();
            pod.addresses
                .iter()
                .any(|&address| addresses.contains(address))
        }
        Peer::Pods { namespaces, pods } => {
            let in_namespace = match namespaces {
                Namespaces::Own => pod.id.namespace == policy.id.namespace,
                Namespaces::Matching(selector) => {
                    selector.matches(&cluster.namespaces()[&pod.id.namespace].labels)
                }
            };
            in_namespace && pods.matches(&pod.labels)
        }
    }
}
