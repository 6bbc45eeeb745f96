//! The pure core of nopal, from Kubernetes objects to a minimized rule graph.
//!
//! The road: [`lower`] turns API objects into a [`Cluster`]; it knows no files, no clock, no cluster to talk to.

pub mod cidr;
pub mod cluster;
mod compile;
mod cover;
mod directory;
pub mod evaluate;
pub mod explain;
pub mod flow;
pub mod graph;
pub mod incremental;
mod intern;
mod inventory;
pub mod ip_set;
mod isolation;
pub mod label_index;
pub mod labels;
pub mod lower;
mod minimize;
mod narrow;
mod partition;
pub mod policy;
pub mod port_set;
pub mod problem;
pub mod range_set;
pub mod reach;
#[cfg(feature = "reference")]
pub mod reference;
mod resolve;
pub mod rules;
pub mod selector;
#[cfg(feature = "reference")]
pub mod testing;

pub use cidr::Cidr;
pub use cluster::{Cluster, ContainerPort, Namespace, Node, Pod, PodId};
pub use evaluate::{Because, Decision};
pub use flow::{Direction, Flow, FlowPort, Protocol, Verdict};
pub use graph::RuleGraph;
pub use incremental::{Changes, Engine, Event};
pub use ip_set::IpSet;
pub use isolation::Isolation;
pub use label_index::LabelIndex;
pub use labels::Labels;
pub use policy::{Mode, Policy, PolicyId};
pub use port_set::PortSet;
pub use problem::{FieldPath, ObjectRef, Problem, ProblemKind, Segment};
pub use rules::RuleId;
pub use selector::Selector;
