//! Which fields of an object are read, and of which type each must be.

pub(super) mod connectivity_test;
pub(super) mod network_policy;
pub(super) mod route;
pub(super) mod service;
pub(super) mod workload;

/// The type of a value.
#[derive(Debug, Clone, Copy)]
pub(in crate::manifest) enum Shape {
    /// A string.
    Text,
    /// A string that names the object: a number or boolean in its place is reported, and its text still is the name.
    Name,
    /// A whole number of 32 bits.
    Integer,
    /// A whole number of 64 bits.
    LongInteger,
    /// `true` or `false`.
    Boolean,
    /// A port: a number or a name.
    IntegerOrText,
    /// An RFC 3339 time.
    Time,
    /// String keys, string values.
    TextMap,
    /// A mapping with these fields.
    Object(&'static [Field]),
    /// A list.
    List(&'static Shape),
    /// Known to the API, of no use here: neither checked nor taken.
    Anything,
}

/// A field of a mapping.
#[derive(Debug, Clone, Copy)]
pub(in crate::manifest) struct Field {
    /// Its name.
    pub(in crate::manifest) name: &'static str,
    /// Its type.
    pub(in crate::manifest) shape: Shape,
}

const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, shape }
}

const OWNER_REFERENCE: Shape = Shape::Object(&[
    field("apiVersion", Shape::Text),
    field("blockOwnerDeletion", Shape::Boolean),
    field("controller", Shape::Boolean),
    field("kind", Shape::Text),
    field("name", Shape::Text),
    field("uid", Shape::Text),
]);

/// `ObjectMeta`, every field of it.
const METADATA: Shape = Shape::Object(&[
    field("annotations", Shape::TextMap),
    field("creationTimestamp", Shape::Time),
    field("deletionGracePeriodSeconds", Shape::LongInteger),
    field("deletionTimestamp", Shape::Time),
    field("finalizers", Shape::List(&Shape::Text)),
    field("generateName", Shape::Text),
    field("generation", Shape::LongInteger),
    field("labels", Shape::TextMap),
    field("managedFields", Shape::Anything),
    field("name", Shape::Name),
    field("namespace", Shape::Name),
    field("ownerReferences", Shape::List(&OWNER_REFERENCE)),
    field("resourceVersion", Shape::Text),
    field("selfLink", Shape::Text),
    field("uid", Shape::Text),
]);
