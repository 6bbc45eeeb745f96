//! The objects of the test's cluster, as they are applied.

use nopal_harness::ControlPlane;
use serde_json::{Value, json};

/// The nodes, with their addresses.
pub(crate) const NODES: [(&str, &str); 2] = [("node-a", "192.168.0.1"), ("node-b", "192.168.0.2")];

/// How the addresses of each node's pods begin.
pub(crate) const POD_NETWORKS: [&str; 2] = ["10.0.1.", "10.0.2."];

/// The pods: namespace, name, node, address.
pub(crate) const PODS: [(&str, &str, &str, &str); 4] = [
    ("shop", "web", "node-a", "10.0.1.10"),
    ("shop", "api", "node-a", "10.0.1.20"),
    ("shop", "db", "node-b", "10.0.2.10"),
    ("ops", "probe", "node-b", "10.0.2.20"),
];

/// Namespaces, nodes and pods.
pub(crate) fn all() -> Vec<Value> {
    let mut all = vec![
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "shop", "labels": {"team": "shop"}},
        }),
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "ops", "labels": {"team": "ops"}},
        }),
    ];
    all.extend(NODES.map(|(name, address)| {
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name},
            "status": {"addresses": [{"type": "InternalIP", "address": address}]},
        })
    }));
    all.extend(PODS.map(|(namespace, name, node, address)| {
        let (_, host) = NODES.iter().find(|(name, _)| *name == node).unwrap();
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": namespace, "name": name, "labels": {"app": name}},
            "spec": {
                "nodeName": node,
                "containers": [{
                    "name": "main", "image": "none",
                    "ports": [{"name": "sql", "containerPort": 5432}],
                }],
            },
            "status": {
                "phase": "Running",
                "podIP": address, "podIPs": [{"ip": address}],
                "hostIP": host, "hostIPs": [{"ip": host}],
            },
        })
    }));
    all
}

/// Creates or changes an object, with its status.
pub(crate) fn apply(control_plane: &ControlPlane, object: &Value) {
    let text = object.to_string();
    let kubectl = |arguments: &[&str]| control_plane.kubectl(arguments, &text);
    kubectl(&["apply", "--validate=false", "-f", "-"]).unwrap_or_else(|error| panic!("{error}"));
    if object["status"].is_object() {
        let patch = json!({"status": object["status"]}).to_string();
        let mut arguments = vec![
            "patch",
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ];
        let metadata = &object["metadata"];
        arguments.extend([
            object["kind"].as_str().unwrap(),
            metadata["name"].as_str().unwrap(),
        ]);
        if let Some(namespace) = metadata["namespace"].as_str() {
            arguments.extend(["-n", namespace]);
        }
        kubectl(&arguments).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// A policy.
pub(crate) fn policy(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace, "name": name},
        "spec": spec,
    })
}

/// Gives an object a label.
pub(crate) fn label(object: &mut Value, key: &str, value: &str) {
    object["metadata"]["labels"][key] = json!(value);
}

/// Whether this is the object of this kind and name.
pub(crate) fn is(object: &Value, kind: &str, namespace: &str, name: &str) -> bool {
    let metadata = &object["metadata"];
    object["kind"] == kind
        && metadata["namespace"].as_str().unwrap_or_default() == namespace
        && metadata["name"] == name
}
