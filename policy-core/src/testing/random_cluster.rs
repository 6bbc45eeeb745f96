//! Random clusters in which things meet: few labels, few numbers, and a share of everything odd that clusters hold.

use super::random_policy::{mode, policy};
use super::{Objects, Rng};
use crate::policy::MODE_ANNOTATION;
use serde_json::{Value, json};

/// How many objects of each kind a random cluster has.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Pods.
    pub pods: usize,
    /// Policies.
    pub policies: usize,
}

impl Size {
    /// Few enough that a person can follow.
    pub const SMALL: Self = Self {
        pods: 5,
        policies: 3,
    };
    /// Enough that most things happen in one cluster.
    pub const MEDIUM: Self = Self {
        pods: 30,
        policies: 20,
    };
}

/// The names of namespaces, of which the last is never defined.
pub(super) const NAMESPACES: [&str; 4] = ["shop", "bank", "lab", "ghost"];
/// Names that pods' ports have and policies' ports use.
pub(super) const PORT_NAMES: [&str; 4] = ["http", "metrics", "dns", "peer"];
/// Numbers that ports have.
pub(super) const PORT_NUMBERS: [u16; 7] = [53, 80, 81, 443, 8080, 9090, 65535];
/// The API's protocols.
pub(super) const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
/// Label keys and their values.
pub(super) const LABELS: [(&str, &[&str]); 3] = [
    ("app", &["web", "db", "api"]),
    ("tier", &["front", "back", ""]),
    ("example.com/team", &["red", "blue"]),
];
/// The nodes' addresses: IPv4, IPv6.
pub(super) const NODES: [(&str, [&str; 2]); 2] = [
    ("node-a", ["192.168.0.1", "fd00:192::1"]),
    ("node-b", ["192.168.0.2", "fd00:192::2"]),
];

/// The cluster of a seed and size: the same objects on every machine.
///
/// It has two nodes; dual-stack and single-stack pods, pods without address, host-network, finished and terminating
/// pods, addresses that are reused and now and then contested; named ports that differ from pod to pod; and
/// policies of every shape, a few with something in them that nobody understands.
///
/// # Panics
/// Never: what it writes can be read.
#[must_use]
pub fn random_cluster(seed: u64, size: Size) -> Objects {
    let rng = &mut Rng::new(seed);
    let mut written = Vec::new();
    for name in NAMESPACES.iter().take(3) {
        if rng.chance(85) {
            // Beside the sequence of the others, as a policy's.
            let mode = mode(&mut Rng::new(rng.clone().bits()));
            let mut metadata = json!({ "name": name, "labels": labels(rng) });
            if let Some(mode) = mode {
                metadata["annotations"] = json!({ MODE_ANNOTATION: mode });
            }
            if rng.chance(10) {
                metadata["labels"]["kubernetes.io/metadata.name"] = json!(rng.pick(&NAMESPACES));
            }
            written.push(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }));
        }
    }
    for (name, addresses) in NODES {
        if rng.chance(85) {
            written.push(node(rng, name, addresses));
        }
    }
    let mut given = Vec::new();
    for index in 0..size.pods {
        written.push(pod(rng, index, &mut given));
    }
    for index in 0..size.policies {
        written.push(policy(rng, index));
    }
    Objects::read(written).expect("generated objects have the API's shape")
}

/// Some labels out of the vocabulary.
pub(super) fn labels(rng: &mut Rng) -> Value {
    let mut labels = json!({});
    for (key, values) in LABELS {
        if rng.chance(60) {
            labels[key] = json!(rng.pick(values));
        }
    }
    labels
}

/// A node; now and then it claims an address that pods have as well.
fn node(rng: &mut Rng, name: &str, [v4, v6]: [&str; 2]) -> Value {
    let mut node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name },
        "status": { "addresses": [
            { "type": "Hostname", "address": name },
            { "type": "InternalIP", "address": v4 },
            { "type": "ExternalIP", "address": v6 },
        ] },
    });
    if rng.chance(5) {
        let address = format!("10.0.{}.{}", 1 + rng.below(2), 10 + rng.below(5));
        let claim = json!({ "type": "ExternalIP", "address": address });
        node["status"]["addresses"]
            .as_array_mut()
            .expect("a list")
            .push(claim);
    }
    node
}

/// A pod. `given` are the addresses that earlier pods have got, which it may take over.
fn pod(rng: &mut Rng, index: usize, given: &mut Vec<[String; 2]>) -> Value {
    let place = rng.below(NODES.len());
    let (node, node_addresses) = NODES[place];
    let host_network = rng.chance(8);
    let finished = rng.chance(10);
    let terminating = rng.chance(10);
    let takes_over = !given.is_empty() && rng.chance(if finished || terminating { 50 } else { 3 });
    let number = index + 10;
    let own = [
        format!("10.0.{}.{number}", place + 1),
        format!("fd00:10:0:{}::{number:x}", place + 1),
    ];
    let addresses = if host_network {
        node_addresses.map(str::to_owned)
    } else if takes_over {
        rng.pick(given).clone()
    } else {
        given.push(own.clone());
        own
    };
    let families: &[usize] = match rng.below(20) {
        0 => &[],
        1..4 => &[0],
        4..7 => &[1],
        _ => &[0, 1],
    };
    let entries = |addresses: &[String]| -> Value {
        families
            .iter()
            .map(|&family| json!({ "ip": addresses[family] }))
            .collect()
    };
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": rng.pick(&NAMESPACES),
            "name": format!("pod-{index}"),
            "labels": labels(rng),
        },
        "spec": {
            "nodeName": node,
            "hostNetwork": host_network,
            "containers": containers(rng, 2),
        },
        "status": { "podIPs": entries(&addresses) },
    });
    if rng.chance(50) {
        pod["status"]["hostIPs"] = entries(&node_addresses.map(str::to_owned));
    }
    if rng.chance(40) {
        pod["spec"]["initContainers"] = containers(rng, 2);
    }
    if finished {
        pod["status"]["phase"] = json!(rng.pick(&["Succeeded", "Failed"]));
    }
    if terminating {
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    pod
}

fn containers(rng: &mut Rng, most: usize) -> Value {
    let count = rng.below(most + 1);
    (0..count)
        .map(|index| {
            let ports: Value = (0..rng.below(4)).map(|_| container_port(rng)).collect();
            let mut container = json!({ "name": format!("c{index}"), "ports": ports });
            if rng.chance(50) {
                container["restartPolicy"] = json!("Always");
            }
            container
        })
        .collect()
}

fn container_port(rng: &mut Rng) -> Value {
    let mut port = json!({ "containerPort": rng.pick(&PORT_NUMBERS) });
    if rng.chance(80) {
        port["name"] = json!(rng.pick(&PORT_NAMES));
    }
    if rng.chance(60) {
        port["protocol"] = json!(rng.pick(&PROTOCOLS));
    }
    port
}
