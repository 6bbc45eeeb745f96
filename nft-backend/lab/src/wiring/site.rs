//! A topology with the namespaces that its machines live in.

use crate::{Namespace, NodeSpec, PodSpec, Topology};

/// The machines and their namespaces, in the lab's order: the world, the nodes, the pods.
pub(crate) struct Site<'a> {
    pub(super) topology: &'a Topology,
    namespaces: &'a [Namespace],
    /// Whether anybody has an IPv6 address.
    pub(super) ipv6: bool,
}

/// A pod of a node.
#[derive(Clone, Copy)]
pub(super) struct Pod<'a> {
    /// Its position among all pods.
    pub(super) number: usize,
    /// What it is.
    pub(super) spec: &'a PodSpec,
    /// Where it lives.
    pub(super) namespace: &'a Namespace,
}

impl<'a> Site<'a> {
    pub(crate) fn new(topology: &'a Topology, namespaces: &'a [Namespace]) -> Self {
        Self {
            topology,
            namespaces,
            ipv6: topology.has_ipv6(),
        }
    }

    pub(super) fn world(&self) -> &'a Namespace {
        &self.namespaces[0]
    }

    /// The nodes, each with its position and its namespace.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (usize, &'a NodeSpec, &'a Namespace)> {
        let nodes = self.topology.nodes.iter().zip(&self.namespaces[1..]);
        nodes
            .enumerate()
            .map(|(number, (node, namespace))| (number, node, namespace))
    }

    /// The pods of one node.
    pub(super) fn pods_of(&self, node: &'a NodeSpec) -> impl Iterator<Item = Pod<'a>> + Clone {
        let namespaces = &self.namespaces[1 + self.topology.nodes.len()..];
        let pods = self.topology.pods.iter().zip(namespaces).enumerate();
        pods.filter(|(_, (pod, _))| pod.node == node.name)
            .map(|(number, (spec, namespace))| Pod {
                number,
                spec,
                namespace,
            })
    }
}
