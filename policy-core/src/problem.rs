//! What lowering has to say about an object: which object, which field, what is wrong with it.
//!
//! A problem never stops anything. Lowering always gives a value as well, and that value is closed wherever the
//! text was not understood.

use std::fmt;

/// The object that a problem speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// The API kind, such as `NetworkPolicy`.
    pub kind: String,
    /// The namespace; `None` for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// One step of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// A key of a mapping.
    Field(String),
    /// A place in a list, counted from 0.
    Index(usize),
}

/// The way from an object's root to one of its fields, such as `spec.ingress[0].from[1].ipBlock.cidr`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FieldPath(Vec<Segment>);

impl FieldPath {
    /// The object itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// The path of a field of this value.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        self.child(Segment::Field(name.to_owned()))
    }

    /// The path of an entry of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.child(Segment::Index(index))
    }

    /// The path's steps, outermost first.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether this path is `other` or lies below it.
    pub fn starts_with(&self, other: &FieldPath) -> bool {
        self.0.starts_with(&other.0)
    }

    fn child(&self, segment: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self(segments)
    }
}

impl FromIterator<Segment> for FieldPath {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        Self(segments.into_iter().collect())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Field(name) if name.contains(['.', '[', ']', '"', ' ', '/']) => {
                    write!(f, "[{name:?}]")?;
                }
                Segment::Field(name) if position == 0 => f.write_str(name)?,
                Segment::Field(name) => write!(f, ".{name}")?,
            }
        }
        Ok(())
    }
}

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// The object.
    pub object: ObjectRef,
    /// The field, as exactly as it can be named.
    pub path: FieldPath,
    /// What is wrong.
    pub kind: ProblemKind,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.object, self.path, self.kind)
    }
}

/// What can be wrong with a field. `Display` gives the message without the place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// A field that the API does not have here.
    UnknownField {
        /// The field's name.
        field: String,
    },
    /// A value of another type than the API's.
    Mistyped {
        /// What the API wants, such as `a string`.
        expected: String,
        /// What stands there, such as `the boolean true`.
        found: String,
    },
    /// A `metadata.name` or `metadata.namespace` that is no RFC 1123 name.
    InvalidName {
        /// The name as written.
        name: String,
    },
    /// A `nopal.dev/mode` other than `audit` and `enforce`.
    UnknownMode {
        /// The mode as written.
        written: String,
        /// What is enforced therefore, in words.
        outcome: &'static str,
    },
    /// A `policyTypes` entry other than `Ingress` and `Egress`.
    UnknownPolicyType {
        /// The entry as written.
        written: String,
    },
    /// More than two `policyTypes` entries.
    TooManyPolicyTypes,
    /// The same `policyTypes` entry twice; the API server accepts it.
    RepeatedPolicyType {
        /// The entry.
        written: String,
    },
    /// A peer with no field at all.
    EmptyPeer,
    /// A peer with `ipBlock` and a selector.
    BlockBesideSelector,
    /// Text that is no CIDR.
    InvalidCidr {
        /// The text.
        written: String,
    },
    /// A CIDR that only older API servers accepted: leading zeros, IPv4-mapped, or host bits set.
    LegacyCidr {
        /// The text.
        written: String,
        /// The network that it is read as.
        canonical: String,
    },
    /// An `except` that is no strict part of its `cidr`.
    ExceptNotInCidr {
        /// The `except` entry.
        except: String,
        /// The `cidr` of the same block.
        cidr: String,
    },
    /// A port number outside 1 to 65535.
    InvalidPort {
        /// The number as written.
        written: i64,
    },
    /// A port name that is no IANA service name.
    InvalidPortName {
        /// The name.
        written: String,
    },
    /// An `endPort` below its `port`.
    EndPortBelowPort {
        /// `port`.
        port: i64,
        /// `endPort`.
        end_port: i64,
    },
    /// An `endPort` beside a port name.
    EndPortWithNamedPort {
        /// The port's name.
        name: String,
    },
    /// An `endPort` without `port`.
    EndPortWithoutPort,
    /// A protocol other than TCP, UDP and SCTP.
    UnknownProtocol {
        /// The protocol as written.
        written: String,
    },
    /// A `matchExpressions` operator other than the four.
    UnknownOperator {
        /// The operator as written.
        written: String,
    },
    /// `In` or `NotIn` without values.
    MissingValues {
        /// The operator.
        operator: String,
    },
    /// `Exists` or `DoesNotExist` with values.
    UnexpectedValues {
        /// The operator.
        operator: String,
    },
    /// A label key that the API server refuses.
    InvalidLabelKey {
        /// The key.
        written: String,
    },
    /// A label value that the API server refuses.
    InvalidLabelValue {
        /// The value.
        written: String,
    },
    /// Text that is no IP address.
    InvalidAddress {
        /// The text.
        written: String,
    },
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownField { field } => write!(f, "unknown field {field:?}"),
            Self::Mistyped { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::InvalidName { name } => write!(
                f,
                "{name:?} is no valid name: lower-case letters, digits, \"-\" and \".\", a letter or digit at both ends"
            ),
            Self::UnknownMode { written, outcome } => {
                write!(
                    f,
                    "unknown mode {written:?}: use \"audit\" or \"enforce\"; {outcome}"
                )
            }
            Self::UnknownPolicyType { written } => {
                write!(
                    f,
                    "unknown policy type {written:?}: use \"Ingress\" or \"Egress\""
                )
            }
            Self::TooManyPolicyTypes => f.write_str("more than two policy types"),
            Self::RepeatedPolicyType { written } => {
                write!(f, "policy type {written:?} is given twice")
            }
            Self::EmptyPeer => {
                f.write_str("empty peer: give a podSelector, a namespaceSelector or an ipBlock")
            }
            Self::BlockBesideSelector => {
                f.write_str("ipBlock stands beside a selector: make them two peers")
            }
            Self::InvalidCidr { written } => {
                write!(
                    f,
                    "{written:?} is no CIDR: write an address and a prefix, such as 10.0.0.0/24"
                )
            }
            Self::LegacyCidr { written, canonical } => {
                write!(
                    f,
                    "{written:?} is refused by today's API server and read as {canonical}"
                )
            }
            Self::ExceptNotInCidr { except, cidr } => {
                write!(f, "except {except} is no strict part of cidr {cidr}")
            }
            Self::InvalidPort { written } => {
                write!(f, "port {written} is outside 1 to 65535")
            }
            Self::InvalidPortName { written } => write!(
                f,
                "{written:?} is no port name: at most 15 lower-case letters, digits and single \"-\", with at least one letter"
            ),
            Self::EndPortBelowPort { port, end_port } => {
                write!(f, "endPort {end_port} is below port {port}")
            }
            Self::EndPortWithNamedPort { name } => {
                write!(f, "endPort needs a numeric port, not the name {name:?}")
            }
            Self::EndPortWithoutPort => f.write_str("endPort needs a port"),
            Self::UnknownProtocol { written } => {
                write!(
                    f,
                    "unknown protocol {written:?}: use \"TCP\", \"UDP\" or \"SCTP\""
                )
            }
            Self::UnknownOperator { written } => write!(
                f,
                "unknown operator {written:?}: use \"In\", \"NotIn\", \"Exists\" or \"DoesNotExist\""
            ),
            Self::MissingValues { operator } => write!(f, "operator {operator} needs values"),
            Self::UnexpectedValues { operator } => {
                write!(f, "operator {operator} must not have values")
            }
            Self::InvalidLabelKey { written } => write!(f, "{written:?} is no valid label key"),
            Self::InvalidLabelValue { written } => {
                write!(f, "{written:?} is no valid label value")
            }
            Self::InvalidAddress { written } => write!(f, "{written:?} is no IP address"),
        }
    }
}
