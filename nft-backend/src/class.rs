//! What a renderer says about a node: which pods are isolated, and what each class of them allows.
//!
//! Plain data without nftables in it; [`lay_out`](crate::layout::lay_out) turns it into a table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy_core::RuleId;

use crate::element::{Element, PeerPorts, ProtocolPorts};
use crate::names::Label;
use crate::value::AddressRange;

/// The isolated local pods of a node and their classes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classes {
    /// Sets of peer addresses that several classes share.
    pub shared_peers: BTreeMap<Label, SharedPeers>,
    /// What pods of a class may receive.
    pub ingress: BTreeMap<Label, Class>,
    /// What pods of a class may send.
    pub egress: BTreeMap<Label, Class>,
    /// The address of each local pod that is isolated in a direction.
    pub pods: BTreeMap<IpAddr, Dispatch>,
}

/// The class that decides about a local pod's address in each direction. In a direction without a
/// class the pod is not isolated, and everything passes that stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dispatch {
    /// The class in [`Classes::ingress`].
    pub ingress: Option<Label>,
    /// The class in [`Classes::egress`].
    pub egress: Option<Label>,
}

/// A class: pods with the same permissions in one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Class {
    /// What is allowed. Without a grant nothing is.
    pub grants: Vec<Grant>,
    /// Whether what is not allowed passes all the same, counted and told.
    pub audited: bool,
    /// The rules whose packets are counted, in the order of their names, each once.
    pub counted: Vec<CountedRule>,
    /// Lines printed above the chain, such as the class's pods and policies.
    pub comment: Vec<String>,
}

/// A rule whose packets are counted, and what it admits: what is in its elements, and peers together with ports. No
/// packet is in two elements, nor in an element and in peers and ports, so that none counts twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedRule {
    /// The rule.
    pub rule: RuleId,
    /// Whether it admits everything, whatever the rest says.
    pub everything: bool,
    /// Ports for every peer, peers on every port, and peers with ports.
    pub elements: BTreeSet<Element>,
    /// Peers on the ports beside.
    pub peers: BTreeSet<Element>,
    /// The ports for these peers.
    pub ports: BTreeSet<Element>,
}

/// One permission. The grants of a class add up.
///
/// Exact elements are put into hash sets, ranges into interval sets, addresses into the sets of
/// their family. Over all grants of a class, elements of one kind must be disjoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// Every peer, on these ports.
    Everyone(Ports),
    /// These peers on every port, and by protocols that have no ports.
    Peers(BTreeSet<AddressRange>),
    /// Peers and ports together: one lookup for the whole class, the form of choice.
    PeerPorts(BTreeSet<PeerPorts>),
    /// The peers of a shared set: two lookups, for products that would need too many elements.
    Shared {
        /// The ports.
        ports: Ports,
        /// The set, in [`Classes::shared_peers`].
        peers: Label,
    },
}

/// The ports of a grant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ports {
    /// Every port, and protocols that have no ports.
    All,
    /// These ports.
    Only(BTreeSet<ProtocolPorts>),
}

/// Peer addresses that several classes share, disjoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedPeers {
    /// The addresses of both families.
    pub addresses: BTreeSet<AddressRange>,
    /// Lines printed above the sets, such as the selector that they stand for.
    pub comment: Vec<String>,
}
