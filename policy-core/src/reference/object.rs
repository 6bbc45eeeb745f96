//! Plain questions to API objects.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::net::IpAddr;

/// Namespace and name.
pub(super) fn identity(metadata: &ObjectMeta) -> (String, String) {
    (
        namespace_of(metadata),
        metadata.name.clone().unwrap_or_default(),
    )
}

pub(super) fn namespace_of(metadata: &ObjectMeta) -> String {
    metadata
        .namespace
        .clone()
        .unwrap_or_else(|| "default".to_owned())
}

/// The node that the pod runs on.
pub(super) fn node_of(pod: &Pod) -> Option<&str> {
    spec(pod)
        .and_then(|spec| spec.node_name.as_deref())
        .filter(|name| !name.is_empty())
}

pub(super) fn uses_host_network(pod: &Pod) -> bool {
    spec(pod).and_then(|spec| spec.host_network) == Some(true)
}

pub(super) fn has_finished(pod: &Pod) -> bool {
    let phase = status(pod).and_then(|status| status.phase.as_deref());
    phase == Some("Succeeded") || phase == Some("Failed")
}

pub(super) fn pod_addresses(pod: &Pod) -> Vec<IpAddr> {
    let Some(status) = status(pod) else {
        return Vec::new();
    };
    let listed = status.pod_ips.iter().flatten();
    let listed: Vec<IpAddr> = listed.filter_map(|entry| address(&entry.ip)).collect();
    let single = status.pod_ip.as_deref().and_then(address);
    if listed.is_empty() {
        single.into_iter().collect()
    } else {
        listed
    }
}

/// The addresses of its node, as the pod's status gives them.
pub(super) fn host_addresses(pod: &Pod) -> Vec<IpAddr> {
    let Some(status) = status(pod) else {
        return Vec::new();
    };
    let listed = status.host_ips.iter().flatten();
    let listed: Vec<IpAddr> = listed.filter_map(|entry| address(&entry.ip)).collect();
    let single = status.host_ip.as_deref().and_then(address);
    if listed.is_empty() {
        single.into_iter().collect()
    } else {
        listed
    }
}

/// The containers whose ports count: init containers only when they keep running (20).
pub(super) fn running_containers(pod: &Pod) -> Vec<&Container> {
    let Some(spec) = spec(pod) else {
        return Vec::new();
    };
    let init = spec.init_containers.iter().flatten();
    let restartable =
        init.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.containers.iter().chain(restartable).collect()
}

/// Reads an address; an IPv4-mapped one is the IPv4 address that packets carry.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>()
        .ok()
        .map(|address| address.to_canonical())
}

fn spec(pod: &Pod) -> Option<&PodSpec> {
    pod.spec.as_ref()
}

fn status(pod: &Pod) -> Option<&PodStatus> {
    pod.status.as_ref()
}
