//! What is read of the routes that lead from outside to Services.

use super::{Field, METADATA, Shape, field};

/// A Route of `OpenShift`.
pub(in crate::manifest) const ROUTE: &[Field] = &[
    field("metadata", METADATA),
    field(
        "spec",
        Shape::Object(&[
            field("alternateBackends", Shape::List(&TARGET)),
            field(
                "port",
                Shape::Object(&[field("targetPort", Shape::IntegerOrText)]),
            ),
            field("to", TARGET),
        ]),
    ),
];

/// The routes of the Gateway API.
pub(in crate::manifest) const GATEWAY_ROUTE: &[Field] = &[
    field("metadata", METADATA),
    field(
        "spec",
        Shape::Object(&[
            field("parentRefs", Shape::List(&REFERENCE)),
            field(
                "rules",
                Shape::List(&Shape::Object(&[field(
                    "backendRefs",
                    Shape::List(&REFERENCE),
                )])),
            ),
        ]),
    ),
];

const TARGET: Shape = Shape::Object(&[field("kind", Shape::Text), field("name", Shape::Text)]);

const REFERENCE: Shape = Shape::Object(&[
    field("kind", Shape::Text),
    field("name", Shape::Text),
    field("namespace", Shape::Text),
    field("port", Shape::Integer),
]);
