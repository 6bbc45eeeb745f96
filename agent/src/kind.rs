//! The four kinds of objects that the agent follows.

use std::sync::Arc;

use policy_core::{Event, PodId, PolicyId};
use prometheus_client::encoding::EncodeLabelValue;
use serde::Serialize;

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, EncodeLabelValue)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `v1/Namespace`.
    Namespaces,
    /// `v1/Node`.
    Nodes,
    /// `v1/Pod`.
    Pods,
    /// `networking.k8s.io/v1/NetworkPolicy`.
    Policies,
}

impl Kind {
    /// All of them. Rules are put in force only when a complete view of each is there.
    pub const ALL: [Self; 4] = [Self::Namespaces, Self::Nodes, Self::Pods, Self::Policies];
}

/// What an object is known by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A namespace or a node, by its name.
    Cluster(Kind, Arc<str>),
    /// A pod.
    Pod(PodId),
    /// A policy.
    Policy(PolicyId),
}

impl Key {
    /// The object that an event speaks of.
    pub fn of(event: &Event) -> Self {
        match event {
            Event::Namespace(namespace) => Self::Cluster(Kind::Namespaces, namespace.name.clone()),
            Event::NamespaceGone(name) => Self::Cluster(Kind::Namespaces, name.clone()),
            Event::Node(node) => Self::Cluster(Kind::Nodes, node.name.clone()),
            Event::NodeGone(name) => Self::Cluster(Kind::Nodes, name.clone()),
            Event::Pod(pod) => Self::Pod(pod.id.clone()),
            Event::PodGone(id) => Self::Pod(id.clone()),
            Event::Policy(policy) => Self::Policy(policy.id.clone()),
            Event::PolicyGone(id) => Self::Policy(id.clone()),
        }
    }

    /// The object of this kind and name.
    pub fn named(kind: Kind, namespace: &str, name: &str) -> Self {
        match kind {
            Kind::Namespaces | Kind::Nodes => Self::Cluster(kind, name.into()),
            Kind::Pods => Self::Pod(PodId::new(namespace, name)),
            Kind::Policies => Self::Policy(PolicyId {
                namespace: namespace.into(),
                name: name.into(),
            }),
        }
    }

    /// The event that says that the object is gone.
    pub fn gone(self) -> Event {
        match self {
            Self::Cluster(Kind::Nodes, name) => Event::NodeGone(name),
            Self::Cluster(_, name) => Event::NamespaceGone(name),
            Self::Pod(id) => Event::PodGone(id),
            Self::Policy(id) => Event::PolicyGone(id),
        }
    }
}
