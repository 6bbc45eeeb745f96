//! What is read of Namespaces, Nodes, Pods and of the workloads that make Pods. Their other fields are passed over.

use super::{Field, METADATA, Shape, field};

pub(in crate::manifest) const NAMESPACE: &[Field] = &[field("metadata", METADATA)];

pub(in crate::manifest) const NODE: &[Field] = &[
    field("metadata", METADATA),
    field("spec", NODE_SPEC),
    field("status", NODE_STATUS),
];

pub(in crate::manifest) const POD: &[Field] = &[
    field("metadata", METADATA),
    field("spec", POD_SPEC),
    field("status", POD_STATUS),
];

/// Deployment, `ReplicaSet`, `StatefulSet`, `DaemonSet`, Job and `ReplicationController`.
pub(in crate::manifest) const WORKLOAD: &[Field] = &[
    field("metadata", METADATA),
    field(
        "spec",
        Shape::Object(&[
            field("replicas", Shape::Integer),
            field("serviceName", Shape::Text),
            field("template", POD_TEMPLATE),
        ]),
    ),
];

pub(in crate::manifest) const CRON_JOB: &[Field] = &[
    field("metadata", METADATA),
    field(
        "spec",
        Shape::Object(&[field("jobTemplate", Shape::Object(WORKLOAD))]),
    ),
];

/// Kinds that are known by name alone.
pub(in crate::manifest) const NAMED: &[Field] = &[field("metadata", METADATA)];

const POD_TEMPLATE: Shape = Shape::Object(&[field("metadata", METADATA), field("spec", POD_SPEC)]);

const POD_SPEC: Shape = Shape::Object(&[
    field("automountServiceAccountToken", Shape::Boolean),
    field("containers", Shape::List(&CONTAINER)),
    field("dnsPolicy", Shape::Text),
    field("hostNetwork", Shape::Boolean),
    field("initContainers", Shape::List(&CONTAINER)),
    field("nodeName", Shape::Text),
    field("serviceAccountName", Shape::Text),
]);

const CONTAINER: Shape = Shape::Object(&[
    field("image", Shape::Text),
    field("name", Shape::Text),
    field("ports", Shape::List(&CONTAINER_PORT)),
    field("restartPolicy", Shape::Text),
]);

const CONTAINER_PORT: Shape = Shape::Object(&[
    field("containerPort", Shape::Integer),
    field("hostPort", Shape::Integer),
    field("name", Shape::Text),
    field("protocol", Shape::Text),
]);

const POD_STATUS: Shape = Shape::Object(&[
    field("hostIP", Shape::Text),
    field("hostIPs", Shape::List(&ADDRESS)),
    field("phase", Shape::Text),
    field("podIP", Shape::Text),
    field("podIPs", Shape::List(&ADDRESS)),
]);

const ADDRESS: Shape = Shape::Object(&[field("ip", Shape::Text)]);

const NODE_SPEC: Shape = Shape::Object(&[
    field("podCIDR", Shape::Text),
    field("podCIDRs", Shape::List(&Shape::Text)),
]);

const NODE_STATUS: Shape = Shape::Object(&[field(
    "addresses",
    Shape::List(&Shape::Object(&[
        field("address", Shape::Text),
        field("type", Shape::Text),
    ])),
)]);
