//! The pure core of nopal, from Kubernetes objects to a minimized rule graph.
//!
//! The road: [`lower`] turns API objects into a [`Cluster`]; it knows no files, no clock, no cluster to talk to.

pub mod cidr;
pub mod cluster;
pub mod flow;
pub mod ip_set;
pub mod labels;
pub mod lower;
pub mod policy;
pub mod port_set;
pub mod problem;
pub mod range_set;
#[cfg(feature = "reference")]
pub mod reference;
pub mod selector;
#[cfg(feature = "reference")]
pub mod testing;

pub use cidr::Cidr;
pub use cluster::{Cluster, ContainerPort, Node, Pod, PodId};
pub use flow::{Direction, Flow, FlowPort, Protocol, Verdict};
pub use ip_set::IpSet;
pub use labels::Labels;
pub use policy::{Policy, PolicyId};
pub use port_set::PortSet;
pub use problem::{FieldPath, ObjectRef, Problem, ProblemKind, Segment};
pub use selector::Selector;
