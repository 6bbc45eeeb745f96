//! How the packets of a node's pods go, and whether they pass the hook where our rules are.
//!
//! Rules at the node's forward hook hold for a pod if every packet of the pod is forwarded by the node.
//! That depends on how the CNI wires pods (measured on kernel 6.18, `nft-backend/tests/topologies.rs`):
//!
//! | the pod's interface | what two pods of the node say to each other | the rest |
//! |---|---|---|
//! | veth with a route of its own | passes the forward hook | passes it |
//! | veth that is a port of a bridge | passes it only if the bridge calls netfilter | passes it |
//! | macvlan, ipvlan | passes the driver of the parent | passes no hook of the node |
//!
//! [`NodeNetwork::detect`] tells this for each address of each pod, and never guesses in favour of
//! enforcement: what is not known to pass the hook is [`Enforcement::Impossible`], with the reason and
//! the way out. [`NodeNetwork::enforce`] does what can be done: it makes bridges call netfilter.

mod bridge_netfilter;
mod enforce;
mod error;
mod path;
mod probe;
mod read;
mod report;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub use self::bridge_netfilter::Switch;
pub use self::enforce::Enforced;
pub use self::error::TopologyError;
pub use self::path::{Enforcement, PacketPath};
pub use self::report::{Placed, Report};

use crate::nft::Nft;

/// A pod that runs on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPod {
    /// What reports call it.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its network namespace, such as `/run/netns/cni-...`, where that is known: then the pod's own
    /// interface is looked at. Otherwise the node's route to the address tells, which cannot distinguish
    /// a port of a bridge from a macvlan device that has the bridge as its parent.
    pub namespace: Option<PathBuf>,
}

/// The network namespace of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeNetwork {
    namespace: Option<PathBuf>,
}

impl NodeNetwork {
    /// The namespace that this program runs in.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The namespace at this path.
    #[must_use]
    pub fn in_namespace(path: impl Into<PathBuf>) -> Self {
        Self {
            namespace: Some(path.into()),
        }
    }

    /// The namespace whose tables this changes.
    #[must_use]
    pub fn of(nft: &Nft) -> Self {
        Self {
            namespace: nft.namespace().map(Path::to_path_buf),
        }
    }

    /// Tells for every address of these pods how its packets go. Changes nothing.
    pub fn detect(&self, pods: &[LocalPod]) -> Result<Report, TopologyError> {
        let node = self.node_namespace();
        let bridges = read::bridge_settings(node)?;
        let links = read::links(node)?;
        let by_route: Vec<IpAddr> = pods
            .iter()
            .filter(|pod| pod.namespace.is_none())
            .flat_map(|pod| pod.addresses.iter().copied())
            .collect();
        let mut routes = read::routes(node, &by_route)?.into_iter();
        let mut placed = Vec::new();
        for pod in pods {
            let inside = match &pod.namespace {
                Some(path) => Some(read::links(Some(path))?),
                None => None,
            };
            for &address in &pod.addresses {
                let path = match &inside {
                    Some(inside) => path::by_interface(address, inside, &links, bridges),
                    None => path::by_route(address, routes.next().flatten(), &links, bridges),
                };
                placed.push(Placed {
                    pod: pod.name.clone(),
                    address,
                    path,
                });
            }
        }
        Ok(Report { placed })
    }

    /// Makes a bridge pass IPv4 and IPv6 packets between its ports to the IP hooks of its node, if they
    /// do not pass there already. It changes `nf_call_iptables` and `nf_call_ip6tables` of this bridge
    /// alone; the settings `bridge-nf-call-iptables` and `bridge-nf-call-ip6tables`, which hold for all
    /// bridges of the namespace, stay as they are.
    ///
    /// To be called after the rules are in force: then no packet passes the hook without them.
    pub fn ensure_bridge_netfilter(&self, bridge: &str) -> Result<Switch, TopologyError> {
        bridge_netfilter::ensure(self.node_namespace(), bridge)
    }

    fn node_namespace(&self) -> Option<&Path> {
        self.namespace.as_deref()
    }
}
