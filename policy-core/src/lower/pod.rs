//! Lowers pods, workload templates and nodes.

use super::path::Path;
use super::{Problems, address};
use crate::cluster::{ContainerPort, Node, Pod, PodId};
use crate::flow::Protocol;
use crate::problem::{FieldPath, Problem, ProblemKind};
use k8s_openapi::api::core::v1::{
    Container, Node as NodeObject, Pod as PodObject, PodSpec, PodTemplateSpec,
};
use std::net::IpAddr;
use std::sync::Arc;

/// Lowers a pod.
pub fn pod(object: &PodObject) -> (Pod, Vec<Problem>) {
    let metadata = &object.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or("default");
    let name = metadata.name.as_deref().unwrap_or_default();
    let mut problems = Problems::of("Pod", Some(namespace), name);
    let mut pod = from_spec(
        PodId::new(namespace, name),
        object.spec.as_ref(),
        &Path::Object.field("spec"),
        &mut problems,
    );
    pod.labels = metadata.labels.iter().flatten().collect();
    pod.terminating = metadata.deletion_timestamp.is_some();
    if let Some(status) = &object.status {
        let path = Path::Object.field("status");
        pod.finished = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let pod_ips = status
            .pod_ips
            .iter()
            .flatten()
            .map(|entry| entry.ip.as_str());
        pod.addresses = addresses(
            pod_ips,
            status.pod_ip.as_deref(),
            &path,
            ["podIPs", "podIP"],
            &mut problems,
        );
        let host_ips = status
            .host_ips
            .iter()
            .flatten()
            .map(|entry| entry.ip.as_str());
        pod.host_addresses = addresses(
            host_ips,
            status.host_ip.as_deref(),
            &path,
            ["hostIPs", "hostIP"],
            &mut problems,
        );
    }
    (pod, problems.found)
}

/// Lowers a workload's pod template: one endpoint that stands for the workload's pods, named `Kind/name`.
pub fn template(
    kind: &str,
    namespace: &str,
    name: &str,
    template_path: &FieldPath,
    template: &PodTemplateSpec,
) -> (Pod, Vec<Problem>) {
    let mut problems = Problems::of(kind, Some(namespace), name);
    let mut pod = from_spec(
        PodId::new(namespace, &format!("{kind}/{name}")),
        template.spec.as_ref(),
        &Path::Written(template_path).field("spec"),
        &mut problems,
    );
    let metadata = template.metadata.as_ref();
    pod.labels = metadata
        .and_then(|metadata| metadata.labels.as_ref())
        .into_iter()
        .flatten()
        .collect();
    (pod, problems.found)
}

/// Lowers a node: its internal and external addresses.
pub fn node(object: &NodeObject) -> (Node, Vec<Problem>) {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let mut problems = Problems::of("Node", None, name);
    let status = Path::Object.field("status");
    let path = status.field("addresses");
    let written = object
        .status
        .as_ref()
        .and_then(|status| status.addresses.as_ref());
    let addresses = written
        .into_iter()
        .flatten()
        .enumerate()
        .filter(|(_, entry)| matches!(entry.type_.as_str(), "InternalIP" | "ExternalIP"))
        .filter_map(|(index, entry)| {
            address(
                &entry.address,
                &path.index(index).field("address"),
                &mut problems,
            )
        })
        .collect();
    (
        Node {
            name: name.into(),
            addresses,
        },
        problems.found,
    )
}

fn from_spec(
    id: PodId,
    spec: Option<&PodSpec>,
    path: &Path<'_>,
    problems: &mut Problems<'_>,
) -> Pod {
    Pod {
        id,
        labels: crate::labels::Labels::default(),
        node: spec
            .and_then(|spec| spec.node_name.as_deref())
            .filter(|name| !name.is_empty())
            .map(Arc::from),
        addresses: Vec::new(),
        host_addresses: Vec::new(),
        host_network: spec.and_then(|spec| spec.host_network).unwrap_or(false),
        finished: false,
        terminating: false,
        ports: spec.map_or_else(
            || Arc::new([]) as Arc<[_]>,
            |spec| container_ports(spec, path, problems),
        ),
    }
}

/// The list where it is given, else the single older field.
fn addresses<'a>(
    list: impl Iterator<Item = &'a str>,
    single: Option<&'a str>,
    path: &Path<'_>,
    [list_field, single_field]: [&str; 2],
    problems: &mut Problems<'_>,
) -> Vec<IpAddr> {
    let list_path = path.field(list_field);
    let mut read: Vec<IpAddr> = list
        .enumerate()
        .filter_map(|(index, text)| address(text, &list_path.index(index).field("ip"), problems))
        .collect();
    if read.is_empty() {
        let single = single.filter(|text| !text.is_empty());
        read.extend(single.and_then(|text| address(text, &path.field(single_field), problems)));
    }
    read
}

/// The ports of containers and of init containers that keep running (`restartPolicy: Always`), sorted.
fn container_ports(
    spec: &PodSpec,
    path: &Path<'_>,
    problems: &mut Problems<'_>,
) -> Arc<[ContainerPort]> {
    let restartable = |container: &Container| container.restart_policy.as_deref() == Some("Always");
    let running = [
        ("containers", Some(&spec.containers), false),
        ("initContainers", spec.init_containers.as_ref(), true),
    ];
    let mut ports = Vec::new();
    for (field, containers, only_restartable) in running {
        let path = path.field(field);
        for (index, container) in containers.into_iter().flatten().enumerate() {
            if only_restartable && !restartable(container) {
                continue;
            }
            let entry = path.index(index);
            let path = entry.field("ports");
            let declared = container.ports.iter().flatten().enumerate();
            ports.extend(declared.filter_map(|(index, port)| {
                let path = path.index(index);
                let protocol = port.protocol.as_deref().unwrap_or("TCP");
                let known = Protocol::from_api(protocol);
                if known.is_none() {
                    let kind = ProblemKind::UnknownProtocol {
                        written: protocol.to_owned(),
                    };
                    problems.add(&path.field("protocol"), kind);
                }
                let number = u16::try_from(port.container_port)
                    .ok()
                    .filter(|&number| number > 0);
                if number.is_none() {
                    let kind = ProblemKind::InvalidPort {
                        written: port.container_port.into(),
                    };
                    problems.add(&path.field("containerPort"), kind);
                }
                let name = port
                    .name
                    .as_deref()
                    .filter(|name| !name.is_empty())
                    .map(Box::from);
                Some(ContainerPort {
                    name,
                    protocol: known?,
                    port: number?,
                })
            }));
        }
    }
    ports.sort_unstable();
    ports.dedup();
    ports.into()
}
