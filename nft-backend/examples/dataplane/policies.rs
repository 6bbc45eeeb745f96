//! Policies for one pod, and what each of them allows.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use nft_backend::config::Config;
use nft_backend::render::render;
use nft_backend::ruleset::Ruleset;
use policy_core::policy::{Namespaces, Peer, Peers, Policy, PolicyId, PortSpec, Ports, Rule};
use policy_core::selector::{Constraint, Selector};
use policy_core::{Cluster, Mode, Pod, PodId, Protocol, RuleGraph};

use crate::Failure;

/// The node, and its two pods.
pub(crate) const NODE: &str = "node";
pub(crate) const CLIENT: &str = "10.0.1.10";
pub(crate) const SERVER: &str = "10.0.1.11";
/// Where datagrams and connections of the client go.
pub(crate) const PORT: u16 = 7000;

/// `policies` for the server, which together allow `peers` remote pods, and the last of them the client too. One more
/// isolates the client for egress and allows the server, so both directions are judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) policies: usize,
    pub(crate) peers: usize,
}

impl Load {
    /// What each policy allows: addresses, of which the last one's also holds the client's, and a port of its own
    /// beside [`PORT`].
    pub(crate) fn grants(self) -> impl Iterator<Item = (Vec<Ipv4Addr>, u16)> {
        (0..self.policies).map(move |policy| {
            let mut peers: Vec<Ipv4Addr> = self.peers_of(policy).map(address).collect();
            if policy + 1 == self.policies {
                peers.extend(CLIENT.parse::<Ipv4Addr>());
            }
            (peers, own_port(policy))
        })
    }

    /// With fewer peers than policies, several policies are about one peer.
    fn peers_of(self, policy: usize) -> impl Iterator<Item = usize> {
        let first = if self.peers < self.policies {
            policy % self.peers
        } else {
            policy
        };
        (first..self.peers).step_by(self.policies)
    }

    /// The rules of the node.
    pub(crate) fn ruleset(self, config: &Config) -> Result<Ruleset, Failure> {
        let graph = RuleGraph::compile(&self.cluster()?).minimize();
        Ok(render(&graph, NODE, config)?)
    }

    fn cluster(self) -> Result<Cluster, Failure> {
        let mut cluster = Cluster::default();
        cluster.insert_pod(pod("client", NODE, CLIENT.parse()?));
        cluster.insert_pod(pod("server", NODE, SERVER.parse()?));
        for number in 0..self.peers {
            cluster.insert_pod(pod(&peer_name(number), "elsewhere", address(number).into()));
        }
        for number in 0..self.policies {
            let mut names: Vec<String> = self.peers_of(number).map(peer_name).collect();
            if number + 1 == self.policies {
                names.push("client".to_owned());
            }
            let mut policy = policy(&format!("policy-{number}"), "server");
            policy.isolates_ingress = true;
            policy.ingress.push(allow(names, own_port(number)));
            cluster.insert_policy(policy);
        }
        let mut out = policy("out", "client");
        out.isolates_egress = true;
        out.egress.push(allow(vec!["server".to_owned()], PORT));
        cluster.insert_policy(out);
        Ok(cluster)
    }
}

fn policy(name: &str, subject: &str) -> Policy {
    Policy {
        stated_mode: None,
        mode: Mode::default(),
        id: PolicyId {
            namespace: "bench".into(),
            name: name.into(),
        },
        subjects: Selector::label("name", subject),
        isolates_ingress: false,
        isolates_egress: false,
        ingress: Vec::new(),
        egress: Vec::new(),
    }
}

fn allow(names: Vec<String>, port: u16) -> Rule {
    let pods = Selector::from_iter([("name", Constraint::one_of(names))]);
    let single = |protocol, port| PortSpec::Range(protocol, port, port);
    let (both, own) = (
        [Protocol::Tcp, Protocol::Udp].map(|protocol| single(protocol, PORT)),
        single(Protocol::Tcp, port),
    );
    Rule::Allow {
        peers: Peers::Listed(vec![Peer::Pods {
            namespaces: Namespaces::Own,
            pods,
        }]),
        ports: Ports::Listed(both.into_iter().chain([own]).collect()),
    }
}

fn pod(name: &str, node: &str, address: IpAddr) -> Pod {
    Pod {
        id: PodId::new("bench", name),
        labels: [("name", name)].into_iter().collect(),
        node: Some(node.into()),
        addresses: vec![address],
        host_addresses: Vec::new(),
        host_network: false,
        finished: false,
        terminating: false,
        ports: Arc::new([]),
    }
}

fn peer_name(number: usize) -> String {
    format!("peer-{number}")
}

fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a4d_0000 + u32::try_from(number).unwrap_or(u32::MAX >> 16))
}

fn own_port(policy: usize) -> u16 {
    20_000 + u16::try_from(policy % 1000).unwrap_or(0)
}
