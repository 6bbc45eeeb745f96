//! Pods, templates and namespaces.

use crate::summarize;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use policy_core::testing::Objects;
use policy_core::{FieldPath, Mode, lower};
use serde_json::{Value, json};
use std::net::IpAddr;

#[test]
fn pods_keep_what_can_be_read_of_them() {
    let objects = Objects::read(vec![json!({
        "kind": "Pod",
        "metadata": { "name": "web", "deletionTimestamp": "2026-01-01T00:00:00Z" },
        "spec": {
            "nodeName": "",
            "containers": [{ "name": "c", "ports": [
                { "containerPort": 80, "name": "http" },
                { "containerPort": 53, "name": "dns", "protocol": "udp" },
                { "containerPort": 0, "name": "none" },
            ] }],
            "initContainers": [
                { "name": "once", "ports": [{ "containerPort": 81, "name": "once" }] },
                { "name": "stays", "restartPolicy": "Always", "ports": [{ "containerPort": 82, "name": "stays" }] },
            ],
        },
        "status": { "podIPs": [{ "ip": "::ffff:10.0.1.10" }, { "ip": "ten" }], "podIP": "10.0.1.11", "hostIP": "192.168.0.1" },
    })])
    .unwrap();
    let (pod, problems) = lower::pod(&objects.pods()[0]);
    assert_eq!(pod.id.to_string(), "default/web");
    assert_eq!(pod.node, None);
    assert!(pod.terminating && pod.is_selectable());
    assert_eq!(pod.addresses, ["10.0.1.10".parse::<IpAddr>().unwrap()]);
    assert_eq!(
        pod.host_addresses,
        ["192.168.0.1".parse::<IpAddr>().unwrap()]
    );
    let ports: Vec<_> = pod
        .ports
        .iter()
        .map(|port| (port.name.as_deref(), port.port))
        .collect();
    assert_eq!(ports, [(Some("http"), 80), (Some("stays"), 82)]);
    let paths: Vec<String> = problems
        .iter()
        .map(|problem| problem.path.to_string())
        .collect();
    assert_eq!(
        paths,
        [
            "spec.containers[0].ports[1].protocol",
            "spec.containers[0].ports[2].containerPort",
            "status.podIPs[1].ip",
        ]
    );
}

#[test]
fn a_template_stands_for_its_workloads_pods() {
    let template: PodTemplateSpec = serde_json::from_value(json!({
        "metadata": { "labels": { "app": "web" } },
        "spec": { "containers": [{ "name": "c", "ports": [{ "containerPort": 65536 }] }] },
    }))
    .unwrap();
    let path = FieldPath::root().field("spec").field("template");
    let (pod, problems) = lower::template("Deployment", "shop", "web", &path, &template);
    assert_eq!(pod.id.to_string(), "shop/Deployment/web");
    assert_eq!(pod.labels.value("app"), Some("web"));
    assert_eq!(
        problems[0].to_string(),
        "Deployment shop/web: spec.template.spec.containers[0].ports[0].containerPort: port 65536 is outside 1 to 65535"
    );
}

#[test]
fn the_later_of_two_objects_with_one_name_counts() {
    let policy = |spec: Value| {
        json!({
            "kind": "NetworkPolicy", "metadata": { "namespace": "shop", "name": "web" }, "spec": spec,
        })
    };
    let namespace = |team: &str| {
        json!({
            "kind": "Namespace", "metadata": { "name": "shop", "labels": {
                "team": team, "kubernetes.io/metadata.name": "other",
            } },
        })
    };
    let objects = Objects::read(vec![
        namespace("red"),
        namespace("blue"),
        policy(json!({ "policyTypes": ["Egress"] })),
        policy(json!({})),
    ])
    .unwrap();
    let cluster = objects.cluster();
    let summaries: Vec<String> = cluster
        .policies()
        .values()
        .map(|policy| summarize(policy))
        .collect();
    assert_eq!(summaries, ["in [] out -"]);
    let labels: Vec<(&str, &str)> = cluster.namespaces()["shop"].labels.iter().collect();
    assert_eq!(
        labels,
        [("kubernetes.io/metadata.name", "shop"), ("team", "blue")]
    );
}

#[test]
fn a_namespace_states_the_mode_of_its_policies() {
    let lowered = |annotations: serde_json::Value| {
        let object = json!({ "metadata": { "name": "shop", "annotations": annotations } });
        let (namespace, problems) = lower::namespace(&serde_json::from_value(object).unwrap());
        let problems = problems.iter().map(ToString::to_string);
        (namespace.mode, problems.collect::<Vec<_>>())
    };
    let audited = lowered(json!({ "nopal.dev/mode": "audit" }));
    assert_eq!(audited, (Mode::Audit, Vec::new()));
    let enforced = lowered(json!({ "nopal.dev/mode": "enforce" }));
    assert_eq!(enforced, (Mode::Enforce, Vec::new()));
    assert_eq!(lowered(json!({})), (Mode::Enforce, Vec::new()));
    let message = "Namespace shop: metadata.annotations[\"nopal.dev/mode\"]: unknown mode \"off\": \
                   use \"audit\" or \"enforce\"; its policies that state no mode are enforced";
    let unknown = lowered(json!({ "nopal.dev/mode": "off" }));
    assert_eq!(unknown, (Mode::Enforce, vec![message.to_owned()]));
}
