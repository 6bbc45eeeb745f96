//! `nopal.dev/v1alpha1` ConnectivityTest: our own kind, every field of it.

use super::{Field, METADATA, Shape, field};

pub(in crate::manifest) const CONNECTIVITY_TEST: &[Field] = &[
    field("apiVersion", Shape::Text),
    field("kind", Shape::Text),
    field("metadata", METADATA),
    field("tests", Shape::List(&TEST)),
];

const TEST: Shape = Shape::Object(&[
    field("expect", Shape::Text),
    field("family", Shape::Text),
    field("from", END),
    field("name", Shape::Text),
    field("port", Shape::Integer),
    field("protocol", Shape::Text),
    field("to", END),
]);

const END: Shape = Shape::Object(&[
    field("ip", Shape::Text),
    field("pod", Shape::Text),
    field("workload", Shape::Text),
]);
