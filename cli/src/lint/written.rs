//! One entry of `ingress` or `egress` beside what it means.

use k8s_openapi::api::networking::v1::{NetworkPolicyPeer, NetworkPolicyPort};
use policy_core::policy::{Peer, Peers, Ports, Rule};
use policy_core::{Direction, FieldPath, PortSet, Protocol};

use super::meaning::{named, numbered};

/// A rule that is in force and understood, as it is written and as it is meant.
#[derive(Debug, Clone, Copy)]
pub struct WrittenRule<'a> {
    /// Its direction.
    pub direction: Direction,
    /// Its position in the list.
    pub index: usize,
    /// `from` or `to`, as written; empty where it is absent.
    pub written_peers: &'a [NetworkPolicyPeer],
    /// `ports`, as written; empty where it is absent.
    pub written_ports: &'a [NetworkPolicyPort],
    /// Who is allowed.
    pub peers: &'a Peers,
    /// On what.
    pub ports: &'a Ports,
    /// The position in `from` or `to` of the first of these peers; 0 but for a part of a rule that was not understood.
    pub(super) first_peer: usize,
}

impl<'a> WrittenRule<'a> {
    /// The rule, if it was understood.
    pub(super) fn new(
        direction: Direction,
        index: usize,
        peers: Option<&'a Vec<NetworkPolicyPeer>>,
        ports: Option<&'a Vec<NetworkPolicyPort>>,
        meaning: Option<&'a Rule>,
    ) -> Option<Self> {
        let Some(Rule::Allow {
            peers: meant_peers,
            ports: meant_ports,
        }) = meaning
        else {
            return None;
        };
        Some(Self {
            direction,
            index,
            written_peers: peers.map(Vec::as_slice).unwrap_or_default(),
            written_ports: ports.map(Vec::as_slice).unwrap_or_default(),
            peers: meant_peers,
            ports: meant_ports,
            first_peer: 0,
        })
    }

    /// The listed peers with their positions.
    pub(super) fn numbered_peers(&self) -> impl Iterator<Item = (usize, &'a Peer)> + use<'a> {
        let peers = match self.peers {
            Peers::Everyone => &[],
            Peers::Listed(peers) => peers.as_slice(),
        };
        peers.iter().enumerate()
    }

    /// Where it stands.
    pub fn path(&self) -> FieldPath {
        rules_path(self.direction).index(self.index)
    }

    /// The name of its list of peers.
    pub fn peers_field(&self) -> &'static str {
        peers_field(self.direction)
    }

    /// Where one of its peers stands.
    pub fn peer_path(&self, index: usize) -> FieldPath {
        let position = self.first_peer + index;
        self.path().field(self.peers_field()).index(position)
    }

    /// Where one of its ports stands.
    pub fn port_path(&self, index: usize) -> FieldPath {
        self.path().field("ports").index(index)
    }

    /// What a rule of this direction without peers means.
    pub fn everyone(&self) -> &'static str {
        match self.direction {
            Direction::Ingress => "everyone may connect, from inside the cluster and outside",
            Direction::Egress => "the pods may connect to everyone, inside the cluster and outside",
        }
    }

    /// Whether the rule lets pods ask for names and do nothing else.
    pub fn is_dns(&self) -> bool {
        self.direction == Direction::Egress && self.is_about_names()
    }

    /// Whether the rule is about asking for names alone, in either direction.
    pub fn is_about_names(&self) -> bool {
        let dns: PortSet = [(Protocol::Tcp, 53, 53), (Protocol::Udp, 53, 53)]
            .into_iter()
            .collect();
        dns.contains_all(&numbered(self.ports))
            && named(self.ports).all(|(_, name)| name.starts_with("dns"))
    }
}

/// Where the rules of a direction stand.
pub(super) fn rules_path(direction: Direction) -> FieldPath {
    FieldPath::root()
        .field("spec")
        .field(&direction.to_string())
}

/// The name of a direction's list of peers.
pub(super) fn peers_field(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    }
}
