//! A cluster at one moment, as plain data: what policies are evaluated against.

use crate::flow::Protocol;
use crate::intern::Pool;
use crate::labels::Labels;
use crate::policy::{Mode, Policy, PolicyId};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// The label that every namespace carries (semantics, rule 13).
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Everything that decides what policies mean. Its maps are ordered, so that the same objects give the same bytes
/// whatever order they came in.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    namespaces: BTreeMap<Arc<str>, Namespace>,
    nodes: BTreeMap<Arc<str>, Node>,
    pods: BTreeMap<PodId, Arc<Pod>>,
    policies: BTreeMap<PolicyId, Arc<Policy>>,
    labels: Pool<Labels>,
    ports: Pool<Arc<[ContainerPort]>>,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Namespace {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels. In a cluster its name label is among them, whatever was written there.
    pub labels: Labels,
    /// The mode of those of its policies that state none.
    pub mode: Mode,
}

/// A pod's namespace and name; a workload template's name is `Kind/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodId {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl PodId {
    /// The identity of pod `namespace`/`name`.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A pod, or a workload's template standing for its pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace and name.
    pub id: PodId,
    /// Its labels.
    pub labels: Labels,
    /// The node that it runs on; `None` until it is scheduled.
    pub node: Option<Arc<str>>,
    /// `status.podIPs`.
    pub addresses: Vec<IpAddr>,
    /// `status.hostIPs`: addresses of its node.
    pub host_addresses: Vec<IpAddr>,
    /// Whether it uses its node's network.
    pub host_network: bool,
    /// Whether its phase is `Succeeded` or `Failed`.
    pub finished: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// The ports of its containers and restartable init containers, sorted.
    pub ports: Arc<[ContainerPort]>,
}

impl Pod {
    /// Whether policies speak of this pod: not when it uses its node's network or has finished (semantics, rules 8
    /// and 9).
    pub fn is_selectable(&self) -> bool {
        !self.host_network && !self.finished
    }
}

/// A port that a container declares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerPort {
    /// Its name, which policies can use.
    pub name: Option<Box<str>>,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// Its internal and external addresses.
    pub addresses: Vec<IpAddr>,
}

impl Cluster {
    /// Puts a namespace in, or replaces it. It gets its name label, whatever was written there, and its policies that
    /// state no mode get its mode.
    pub fn insert_namespace(&mut self, mut namespace: Namespace) {
        let (name, mode) = (namespace.name.clone(), namespace.mode);
        namespace.labels = namespace.labels.with(NAMESPACE_NAME_LABEL, &name);
        let before = self.namespaces.insert(name.clone(), namespace);
        if before.is_some_and(|before| before.mode != mode) {
            let policies = self.policies.values_mut();
            for policy in policies.filter(|policy| policy.id.namespace == name) {
                *policy = Arc::new(Policy::clone(policy).within(mode));
            }
        }
    }

    /// Puts a node in, or replaces it.
    pub fn insert_node(&mut self, node: Node) {
        self.nodes.insert(node.name.clone(), node);
    }

    /// Puts a pod in, or replaces it; gives the one that it replaced.
    pub fn insert_pod(&mut self, mut pod: Pod) -> Option<Arc<Pod>> {
        self.mention_namespace(&pod.id.namespace);
        pod.labels = self.labels.share(&pod.labels);
        pod.ports = self.ports.share(&pod.ports);
        self.pods.insert(pod.id.clone(), Arc::new(pod))
    }

    /// Puts a policy in, or replaces it; gives the one that it replaced. It gets its namespace's mode if it states none.
    pub fn insert_policy(&mut self, policy: Policy) -> Option<Arc<Policy>> {
        self.mention_namespace(&policy.id.namespace);
        let mode = self.namespaces[&policy.id.namespace].mode;
        let policy = policy.within(mode);
        self.policies.insert(policy.id.clone(), Arc::new(policy))
    }

    /// The namespaces.
    pub fn namespaces(&self) -> &BTreeMap<Arc<str>, Namespace> {
        &self.namespaces
    }

    /// The nodes.
    pub fn nodes(&self) -> &BTreeMap<Arc<str>, Node> {
        &self.nodes
    }

    /// The pods.
    pub fn pods(&self) -> &BTreeMap<PodId, Arc<Pod>> {
        &self.pods
    }

    /// The policies.
    pub fn policies(&self) -> &BTreeMap<PolicyId, Arc<Policy>> {
        &self.policies
    }

    /// A namespace that objects mention and nobody defines exists, with its name label alone.
    fn mention_namespace(&mut self, name: &Arc<str>) {
        if !self.namespaces.contains_key(name) {
            self.insert_namespace(Namespace {
                name: name.clone(),
                ..Namespace::default()
            });
        }
    }
}
