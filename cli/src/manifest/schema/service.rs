//! What is read of Services and of the objects that name Services or ports of pods.

use super::{Field, METADATA, Shape, field};

pub(in crate::manifest) const SERVICE: &[Field] =
    &[field("metadata", METADATA), field("spec", SERVICE_SPEC)];

pub(in crate::manifest) const INGRESS: &[Field] = &[
    field("metadata", METADATA),
    field(
        "spec",
        Shape::Object(&[
            // Until `networking.k8s.io/v1` it was `backend`, with `serviceName` and `servicePort`.
            field("backend", INGRESS_BACKEND),
            field("defaultBackend", INGRESS_BACKEND),
            field("rules", Shape::List(&INGRESS_RULE)),
        ]),
    ),
];

/// Validating and mutating ones.
pub(in crate::manifest) const WEBHOOK_CONFIGURATION: &[Field] = &[
    field("metadata", METADATA),
    field(
        "webhooks",
        Shape::List(&Shape::Object(&[field("clientConfig", CLIENT_CONFIG)])),
    ),
];

pub(in crate::manifest) const CUSTOM_RESOURCE_DEFINITION: &[Field] = &[
    field("metadata", METADATA),
    field(
        "spec",
        Shape::Object(&[field(
            "conversion",
            Shape::Object(&[field(
                "webhook",
                Shape::Object(&[field("clientConfig", CLIENT_CONFIG)]),
            )]),
        )]),
    ),
];

/// `ServiceMonitor` and `PodMonitor` of the Prometheus operator.
pub(in crate::manifest) const MONITOR: &[Field] = &[
    field("metadata", METADATA),
    field(
        "spec",
        Shape::Object(&[
            field("selector", LABEL_SELECTOR),
            field(
                "namespaceSelector",
                Shape::Object(&[
                    field("any", Shape::Boolean),
                    field("matchNames", Shape::List(&Shape::Text)),
                ]),
            ),
            field("endpoints", Shape::List(&ENDPOINT)),
            field("podMetricsEndpoints", Shape::List(&ENDPOINT)),
        ]),
    ),
];

const SERVICE_SPEC: Shape = Shape::Object(&[
    field("clusterIP", Shape::Text),
    field("clusterIPs", Shape::List(&Shape::Text)),
    field("externalTrafficPolicy", Shape::Text),
    field("ipFamilies", Shape::List(&Shape::Text)),
    field("ipFamilyPolicy", Shape::Text),
    field("ports", Shape::List(&SERVICE_PORT)),
    field("publishNotReadyAddresses", Shape::Boolean),
    field("selector", Shape::TextMap),
    field("type", Shape::Text),
]);

const SERVICE_PORT: Shape = Shape::Object(&[
    field("name", Shape::Text),
    field("port", Shape::Integer),
    field("protocol", Shape::Text),
    field("targetPort", Shape::IntegerOrText),
]);

const INGRESS_RULE: Shape = Shape::Object(&[field(
    "http",
    Shape::Object(&[field(
        "paths",
        Shape::List(&Shape::Object(&[field("backend", INGRESS_BACKEND)])),
    )]),
)]);

const INGRESS_BACKEND: Shape = Shape::Object(&[
    field(
        "service",
        Shape::Object(&[
            field("name", Shape::Text),
            field(
                "port",
                Shape::Object(&[field("name", Shape::Text), field("number", Shape::Integer)]),
            ),
        ]),
    ),
    field("serviceName", Shape::Text),
    field("servicePort", Shape::IntegerOrText),
]);

const CLIENT_CONFIG: Shape = Shape::Object(&[field(
    "service",
    Shape::Object(&[
        field("name", Shape::Text),
        field("namespace", Shape::Text),
        field("port", Shape::Integer),
    ]),
)]);

const LABEL_SELECTOR: Shape = Shape::Object(&[
    field("matchLabels", Shape::TextMap),
    field(
        "matchExpressions",
        Shape::List(&Shape::Object(&[
            field("key", Shape::Text),
            field("operator", Shape::Text),
            field("values", Shape::List(&Shape::Text)),
        ])),
    ),
]);

const ENDPOINT: Shape = Shape::Object(&[
    field("port", Shape::Text),
    field("targetPort", Shape::IntegerOrText),
]);
