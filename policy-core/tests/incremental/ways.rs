//! Events that lead from one cluster to another.

use policy_core::incremental::Event;
use policy_core::testing::Rng;
use policy_core::{Cluster, Pod};

/// Events that make one cluster of another one, with as much noise as `rng` likes: in any order, objects of third
/// clusters in between, objects taken away and put back.
pub(crate) fn way(from: &Cluster, to: &Cluster, detour: &Cluster, rng: &mut Rng) -> Vec<Event> {
    let mut first = departures(from, detour);
    first.extend(arrivals(detour).into_iter().filter(|_| rng.chance(40)));
    rng.shuffle(&mut first);
    let mut second = departures(from, to);
    second.extend(departures(detour, to));
    second.extend(arrivals(to));
    rng.shuffle(&mut second);
    first.into_iter().chain(second).collect()
}

/// An event for every object of a cluster.
pub(crate) fn arrivals(cluster: &Cluster) -> Vec<Event> {
    let namespaces = cluster.namespaces().values().cloned();
    let namespaces = namespaces.map(Event::Namespace);
    let nodes = cluster.nodes().values().cloned().map(Event::Node);
    let pods = cluster.pods().values();
    let pods = pods.map(|pod| Event::Pod(Pod::clone(pod)));
    let policies = cluster.policies().values();
    let policies = policies.map(|policy| Event::Policy(policy.as_ref().clone()));
    namespaces
        .chain(nodes)
        .chain(pods)
        .chain(policies)
        .collect()
}

/// An event for every object of a cluster that another one has not.
fn departures(cluster: &Cluster, other: &Cluster) -> Vec<Event> {
    let namespaces = cluster.namespaces().keys();
    let namespaces = namespaces.filter(|name| !other.namespaces().contains_key(*name));
    let nodes = cluster.nodes().keys();
    let nodes = nodes.filter(|name| !other.nodes().contains_key(*name));
    let pods = cluster.pods().keys();
    let pods = pods.filter(|id| !other.pods().contains_key(id));
    let policies = cluster.policies().keys();
    let policies = policies.filter(|id| !other.policies().contains_key(id));
    let namespaces = namespaces.cloned().map(Event::NamespaceGone);
    let nodes = nodes.cloned().map(Event::NodeGone);
    let pods = pods.cloned().map(Event::PodGone);
    let policies = policies.cloned().map(Event::PolicyGone);
    namespaces
        .chain(nodes)
        .chain(pods)
        .chain(policies)
        .collect()
}
