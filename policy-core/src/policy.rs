//! A NetworkPolicy after lowering: no optional lists, no text that still has to be read.

use crate::cidr::Cidr;
use crate::flow::{Direction, Protocol};
use crate::ip_set::IpSet;
use crate::selector::Selector;
use std::fmt;
use std::sync::Arc;

/// A policy's namespace and name. Policies are ordered by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The annotation that says how a policy is meant to be taken: `audit` or `enforce`. On a namespace it speaks for those of
/// its policies that do not have it themselves.
pub const MODE_ANNOTATION: &str = "nopal.dev/mode";

/// How a policy is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Mode {
    /// It isolates its subjects.
    #[default]
    Enforce,
    /// It never causes a denial by itself: where only such policies isolate a pod, what they do not allow passes and
    /// is told. What it allows counts as ever.
    Audit,
}

/// One `networking.k8s.io/v1` NetworkPolicy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Policy {
    /// Its namespace and name.
    pub id: PolicyId,
    /// The pods of its namespace that it selects.
    pub subjects: Selector,
    /// What its own annotation says of its mode; `None` without one, so that its namespace's mode is its mode.
    pub stated_mode: Option<Mode>,
    /// Whether it is enforced. A policy that states no mode is enforced until it is in a cluster or an engine, which know
    /// its namespace.
    pub mode: Mode,
    /// Whether it isolates its subjects for ingress.
    pub isolates_ingress: bool,
    /// Whether it isolates its subjects for egress.
    pub isolates_egress: bool,
    /// `spec.ingress`, in written order; empty where `Ingress` is not among the policy types.
    pub ingress: Vec<Rule>,
    /// `spec.egress`, in written order; empty where `Egress` is not among the policy types.
    pub egress: Vec<Rule>,
}

impl Policy {
    /// The policy in a namespace of this mode, which counts where the policy states none.
    #[must_use]
    pub fn within(mut self, namespace: Mode) -> Self {
        self.mode = self.stated_mode.unwrap_or(namespace);
        self
    }

    /// Whether the policy isolates its subjects in `direction`, if only for audit.
    pub fn isolates(&self, direction: Direction) -> bool {
        match direction {
            Direction::Ingress => self.isolates_ingress,
            Direction::Egress => self.isolates_egress,
        }
    }

    /// Every `ipBlock` of the rules that were understood, in both directions.
    pub fn blocks(&self) -> impl Iterator<Item = &IpBlock> {
        let rules = self.ingress.iter().chain(&self.egress);
        let peers = rules.filter_map(|rule| match rule {
            Rule::Allow {
                peers: Peers::Listed(peers),
                ..
            } => Some(peers),
            Rule::Allow {
                peers: Peers::Everyone,
                ..
            }
            | Rule::NotUnderstood => None,
        });
        peers.flatten().filter_map(|peer| match peer {
            Peer::Block(block) => Some(block),
            Peer::Pods { .. } => None,
        })
    }

    /// The rules of `direction`; their positions are those of the written list.
    pub fn rules(&self, direction: Direction) -> &[Rule] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

/// One entry of `ingress` or `egress`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Allows its peers on its ports.
    Allow {
        /// Who.
        peers: Peers,
        /// On what.
        ports: Ports,
    },
    /// Something in the rule was not understood, so it matches nothing (semantics, rule 26).
    NotUnderstood,
}

/// `from` or `to`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peers {
    /// Absent or empty: every source or destination, inside the cluster or not.
    Everyone,
    /// Any of these.
    Listed(Vec<Peer>),
}

/// One entry of `from` or `to`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Pods, by labels.
    Pods {
        /// The namespaces that they are in.
        namespaces: Namespaces,
        /// Their own labels.
        pods: Selector,
    },
    /// Addresses.
    Block(IpBlock),
}

/// The namespaces of a pod peer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespaces {
    /// No `namespaceSelector`: the policy's own namespace.
    Own,
    /// The namespaces that a `namespaceSelector` matches.
    Matching(Selector),
}

/// An `ipBlock`. The exceptions carve out of this block alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpBlock {
    /// `cidr`.
    pub cidr: Cidr,
    /// `except`.
    pub except: Vec<Cidr>,
}

impl IpBlock {
    /// The addresses of the block: `cidr` without `except`.
    pub fn addresses(&self) -> IpSet {
        let excepted: IpSet = self.except.iter().copied().collect();
        IpSet::from(self.cidr).difference(&excepted)
    }
}

impl fmt::Display for IpBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cidr)?;
        for (position, except) in self.except.iter().enumerate() {
            write!(
                f,
                "{}{except}",
                if position == 0 { " except " } else { ", " }
            )?;
        }
        Ok(())
    }
}

/// `ports`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ports {
    /// Absent or empty: every port of every protocol, and protocols without ports.
    All,
    /// Any of these.
    Listed(Vec<PortSpec>),
}

/// One entry of `ports`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortSpec {
    /// The ports from the first to the last number, both included. An entry without `port` is the whole range.
    Range(Protocol, u16, u16),
    /// The ports that the destination pod gives this name to, for this protocol.
    Named(Protocol, Box<str>),
}

impl fmt::Display for PortSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(protocol, 0, u16::MAX) => write!(f, "any port/{protocol}"),
            Self::Range(protocol, first, last) if first == last => write!(f, "{first}/{protocol}"),
            Self::Range(protocol, first, last) => write!(f, "{first}-{last}/{protocol}"),
            Self::Named(protocol, name) => write!(f, "{name:?}/{protocol}"),
        }
    }
}
