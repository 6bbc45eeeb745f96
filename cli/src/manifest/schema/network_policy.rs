//! `networking.k8s.io/v1` NetworkPolicy, every field of it: what stands elsewhere is unknown to the API server.

use super::{Field, METADATA, Shape, field};

pub(in crate::manifest) const NETWORK_POLICY: &[Field] = &[
    field("apiVersion", Shape::Text),
    field("kind", Shape::Text),
    field("metadata", METADATA),
    field("spec", SPEC),
    // Gone since 1.28; clusters still hand it out.
    field("status", Shape::Anything),
];

const SPEC: Shape = Shape::Object(&[
    field("egress", Shape::List(&EGRESS_RULE)),
    field("ingress", Shape::List(&INGRESS_RULE)),
    field("podSelector", SELECTOR),
    field("policyTypes", Shape::List(&Shape::Text)),
]);

const INGRESS_RULE: Shape = Shape::Object(&[
    field("from", Shape::List(&PEER)),
    field("ports", Shape::List(&PORT)),
]);

const EGRESS_RULE: Shape = Shape::Object(&[
    field("ports", Shape::List(&PORT)),
    field("to", Shape::List(&PEER)),
]);

const PEER: Shape = Shape::Object(&[
    field("ipBlock", IP_BLOCK),
    field("namespaceSelector", SELECTOR),
    field("podSelector", SELECTOR),
]);

const IP_BLOCK: Shape = Shape::Object(&[
    field("cidr", Shape::Text),
    field("except", Shape::List(&Shape::Text)),
]);

const PORT: Shape = Shape::Object(&[
    field("endPort", Shape::Integer),
    field("port", Shape::IntegerOrText),
    field("protocol", Shape::Text),
]);

const SELECTOR: Shape = Shape::Object(&[
    field("matchExpressions", Shape::List(&REQUIREMENT)),
    field("matchLabels", Shape::TextMap),
]);

const REQUIREMENT: Shape = Shape::Object(&[
    field("key", Shape::Text),
    field("operator", Shape::Text),
    field("values", Shape::List(&Shape::Text)),
]);
