//! Tries single rules against a flow: which admit it, and what the others first fail at.

use crate::cluster::Pod;
use crate::flow::{Direction, FlowPort};
use crate::inventory::{Inventory, Owner};
use crate::labels::Labels;
use crate::policy::{IpBlock, Namespaces, Peer, Peers, Policy, PolicyId, PortSpec, Ports, Rule};
use std::fmt;
use std::net::IpAddr;

/// A rule of an isolating policy that does not admit a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The policy.
    pub policy: PolicyId,
    /// `Egress` at the flow's source, `Ingress` at its destination.
    pub direction: Direction,
    /// The rule's position in the policy's list.
    pub rule: u32,
    /// The first condition that the flow fails.
    pub failing: Failing,
}

/// A condition of a rule that a flow fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failing {
    /// The rule was not understood, so it matches nothing.
    NotUnderstood,
    /// None of its peers is the other end; for each peer, why not.
    Peers(Vec<NotPeer>),
    /// It is for other ports; its entries, and what the destination lacks, if that is the reason.
    Ports {
        /// The flow's port.
        asked: FlowPort,
        /// The rule's ports.
        listed: Vec<PortSpec>,
    },
}

/// Why a peer entry is not an address's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotPeer {
    /// The address is no pod's, and the entry selects pods.
    NoPod(IpAddr),
    /// Several live pods claim the address, so no entry that selects pods matches it.
    Contested(IpAddr),
    /// The pod is in a namespace that the entry does not select; what the entry demands of namespaces.
    Namespace {
        /// The pod's namespace.
        namespace: String,
        /// The demand.
        demanded: String,
    },
    /// The pod's labels do not match; the first demand that they fail.
    Labels(String),
    /// The address is outside the block.
    Outside(IpBlock),
    /// The address is in the block, and excepted.
    Excepted(IpBlock),
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}[{}]: {}",
            self.policy, self.direction, self.rule, self.failing
        )
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUnderstood => f.write_str("not understood, so it matches nothing"),
            Self::Peers(reasons) => {
                let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                write!(f, "no peer matches: {}", reasons.join("; "))
            }
            Self::Ports { asked, listed } => {
                let listed: Vec<String> = listed.iter().map(ToString::to_string).collect();
                write!(f, "port {asked} is not among {}", listed.join(", "))
            }
        }
    }
}

impl fmt::Display for NotPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPod(address) => write!(f, "{address} is no pod"),
            Self::Contested(address) => write!(f, "{address} is claimed by several pods"),
            Self::Namespace {
                namespace,
                demanded,
            } => {
                write!(f, "namespace {namespace} is not {demanded}")
            }
            Self::Labels(demand) => write!(f, "its labels fail {demand}"),
            Self::Outside(block) => write!(f, "it is outside {}", block.cidr),
            Self::Excepted(block) => write!(f, "it is excepted from {}", block.cidr),
        }
    }
}

/// The other end of a subject's flow.
pub(crate) struct PeerSide<'a> {
    address: IpAddr,
    subject: &'a Pod,
    owner: PeerOwner<'a>,
}

enum PeerOwner<'a> {
    Pod {
        pod: &'a Pod,
        namespace_labels: &'a Labels,
    },
    Contested,
    NoPod,
}

impl<'a> PeerSide<'a> {
    pub(crate) fn new(inventory: &'a Inventory, subject: &'a Pod, address: IpAddr) -> Self {
        let owner = match inventory.owner(address) {
            Owner::NoPod => PeerOwner::NoPod,
            Owner::Contested(_) => PeerOwner::Contested,
            Owner::Pod(index) => {
                let pod = &inventory.pods[index as usize];
                let found = inventory.namespace(&pod.id.namespace);
                let number = found.expect("a pod's namespace is in the inventory");
                let namespace_labels = &inventory.namespaces[number as usize].labels;
                PeerOwner::Pod {
                    pod,
                    namespace_labels,
                }
            }
        };
        Self {
            address,
            subject,
            owner,
        }
    }

    fn mismatch(&self, peer: &Peer) -> Option<NotPeer> {
        match peer {
            Peer::Block(block) if block.addresses().contains(self.address) => None,
            Peer::Block(block) if block.cidr.contains(self.address) => {
                Some(NotPeer::Excepted(block.clone()))
            }
            Peer::Block(block) => Some(NotPeer::Outside(block.clone())),
            Peer::Pods { namespaces, pods } => {
                let (pod, namespace_labels) = match &self.owner {
                    PeerOwner::Pod {
                        pod,
                        namespace_labels,
                    } => (pod, namespace_labels),
                    PeerOwner::Contested => return Some(NotPeer::Contested(self.address)),
                    PeerOwner::NoPod => return Some(NotPeer::NoPod(self.address)),
                };
                let demanded = match namespaces {
                    Namespaces::Own if self.subject.id.namespace == pod.id.namespace => None,
                    Namespaces::Own => Some(self.subject.id.namespace.to_string()),
                    Namespaces::Matching(selector) => selector
                        .unmet(namespace_labels)
                        .map(|(key, constraint)| constraint.describe(key)),
                };
                if let Some(demanded) = demanded {
                    let namespace = pod.id.namespace.to_string();
                    return Some(NotPeer::Namespace {
                        namespace,
                        demanded,
                    });
                }
                let (key, constraint) = pods.unmet(&pod.labels)?;
                Some(NotPeer::Labels(constraint.describe(key)))
            }
        }
    }

    /// Whether an entry of `ports` admits `port`. A name is looked up on the destination: the subject for ingress,
    /// the other end for egress.
    fn port_matches(&self, spec: &PortSpec, port: FlowPort, direction: Direction) -> bool {
        let FlowPort::Port(protocol, number) = port else {
            return false;
        };
        match spec {
            PortSpec::Range(listed, first, last) => {
                *listed == protocol && (*first..=*last).contains(&number)
            }
            PortSpec::Named(listed, name) => {
                let destination = match (direction, &self.owner) {
                    (Direction::Ingress, _) => Some(self.subject),
                    (Direction::Egress, PeerOwner::Pod { pod, .. }) => Some(*pod),
                    (Direction::Egress, _) => None,
                };
                *listed == protocol
                    && destination.is_some_and(|pod| {
                        pod.ports.iter().any(|port| {
                            port.name.as_ref() == Some(name)
                                && port.protocol == protocol
                                && port.port == number
                        })
                    })
            }
        }
    }
}

/// Whether a rule admits a flow between its subject and `other`.
pub(crate) fn rule_admits(
    policy: &Policy,
    direction: Direction,
    rule: usize,
    other: &PeerSide,
    port: FlowPort,
) -> bool {
    let rule = policy.rules(direction).get(rule);
    rule.is_some_and(|rule| failing(rule, direction, other, port).is_none())
}

/// Each rule of these policies that does not admit the flow, with the first condition that it fails.
pub(crate) fn candidates(
    policies: &[&Policy],
    direction: Direction,
    other: &PeerSide,
    port: FlowPort,
) -> Vec<Candidate> {
    let mut found = Vec::new();
    for policy in policies {
        for (number, rule) in (0..).zip(policy.rules(direction)) {
            if let Some(failing) = failing(rule, direction, other, port) {
                found.push(Candidate {
                    policy: policy.id.clone(),
                    direction,
                    rule: number,
                    failing,
                });
            }
        }
    }
    found
}

fn failing(rule: &Rule, direction: Direction, other: &PeerSide, port: FlowPort) -> Option<Failing> {
    let Rule::Allow { peers, ports } = rule else {
        return Some(Failing::NotUnderstood);
    };
    if let Peers::Listed(peers) = peers {
        let mismatches = peers.iter().map(|peer| other.mismatch(peer));
        if let Some(every_mismatch) = mismatches.collect::<Option<Vec<NotPeer>>>() {
            return Some(Failing::Peers(every_mismatch));
        }
    }
    let Ports::Listed(listed) = ports else {
        return None;
    };
    if listed
        .iter()
        .any(|spec| other.port_matches(spec, port, direction))
    {
        return None;
    }
    Some(Failing::Ports {
        asked: port,
        listed: listed.clone(),
    })
}
