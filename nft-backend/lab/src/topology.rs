//! What a lab is made of, and the checks that it can be wired.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::{LabError, Wiring};

/// The machines of a lab.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// The nodes; names are unique.
    pub nodes: Vec<NodeSpec>,
    /// The pods of the pod network; names are unique. Host-network pods are not listed: they are
    /// reached at their node's addresses.
    pub pods: Vec<PodSpec>,
    /// Addresses outside the cluster, all of which the world namespace has.
    pub externals: Vec<IpAddr>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSpec {
    /// Any text; it becomes part of the namespace's name as far as that allows.
    pub name: String,
    /// The node's own addresses; there may be none.
    pub addresses: Vec<IpAddr>,
}

/// One pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSpec {
    /// Any text; it becomes part of the namespace's name as far as that allows.
    pub name: String,
    /// The name of the node it runs on.
    pub node: String,
    /// The pod's addresses, at least one but in [`Wiring::Unattached`].
    pub addresses: Vec<IpAddr>,
}

/// How the world is called in error messages.
const WORLD: &str = "world";

impl Topology {
    /// Checks that names and addresses are unique and usable. The same address twice with one owner
    /// is no error. In one wiring pods have no addresses yet.
    pub(crate) fn check(&self, wiring: Wiring) -> Result<(), LabError> {
        check_names(self.nodes.iter().map(|node| node.name.as_str()))?;
        check_names(self.pods.iter().map(|pod| pod.name.as_str()))?;
        for pod in &self.pods {
            if pod.addresses.is_empty() && wiring != Wiring::Unattached {
                return Err(LabError::NoAddress(pod.name.clone()));
            }
            if !self.nodes.iter().any(|node| node.name == pod.node) {
                return Err(LabError::UnknownNode(pod.node.clone()));
            }
        }
        self.check_addresses()
    }

    /// Whether any address is IPv6.
    pub(crate) fn has_ipv6(&self) -> bool {
        self.owners()
            .any(|(_, addresses)| addresses.iter().any(IpAddr::is_ipv6))
    }

    fn check_addresses(&self) -> Result<(), LabError> {
        let mut seen = BTreeMap::new();
        for (position, (owner, addresses)) in self.owners().enumerate() {
            for &address in addresses {
                if !is_routable(address) {
                    return Err(LabError::Unroutable {
                        owner: owner.to_owned(),
                        address,
                    });
                }
                let (first_position, first) = *seen.entry(address).or_insert((position, owner));
                if first_position != position {
                    let (first, second) = (first.to_owned(), owner.to_owned());
                    return Err(LabError::DuplicateAddress {
                        address,
                        first,
                        second,
                    });
                }
            }
        }
        Ok(())
    }

    fn owners(&self) -> impl Iterator<Item = (&str, &[IpAddr])> {
        let nodes = self
            .nodes
            .iter()
            .map(|node| (node.name.as_str(), node.addresses.as_slice()));
        let pods = self
            .pods
            .iter()
            .map(|pod| (pod.name.as_str(), pod.addresses.as_slice()));
        nodes
            .chain(pods)
            .chain([(WORLD, self.externals.as_slice())])
    }
}

fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), LabError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(LabError::DuplicateName(name.to_owned()));
        }
    }
    Ok(())
}

/// Whether a machine of a lab can have this address. Link-local ones cannot be had either: the lab's own links use
/// them.
pub fn is_routable(address: IpAddr) -> bool {
    let is_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
    };
    !(is_local || address.is_unspecified() || address.is_loopback() || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(first: &[&str], second: &[&str]) -> Topology {
        let parse = |addresses: &[&str]| addresses.iter().map(|a| a.parse().unwrap()).collect();
        let pod = |name: &str, addresses| PodSpec {
            name: name.to_owned(),
            node: "node-a".to_owned(),
            addresses: parse(addresses),
        };
        Topology {
            nodes: vec![NodeSpec {
                name: "node-a".to_owned(),
                addresses: parse(&["192.0.2.1"]),
            }],
            pods: vec![pod("web", first), pod("db", second)],
            externals: parse(&["198.51.100.7"]),
        }
    }

    fn refusal(first: &[&str], second: &[&str]) -> String {
        topology(first, second)
            .check(Wiring::Routed)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_address_of_two_pods_is_refused_with_both_names() {
        let message = refusal(&["10.0.0.1"], &["10.0.0.2", "10.0.0.1"]);
        assert_eq!(message, "`web` and `db` both have the address 10.0.0.1");
    }

    #[test]
    fn an_address_of_a_pod_and_of_the_world_is_refused() {
        let message = refusal(&["10.0.0.1"], &["198.51.100.7"]);
        assert_eq!(
            message,
            "`db` and `world` both have the address 198.51.100.7"
        );
    }

    #[test]
    fn an_address_written_twice_for_one_pod_is_accepted() {
        assert!(
            topology(&["10.0.0.1", "10.0.0.1"], &["10.0.0.2"])
                .check(Wiring::Routed)
                .is_ok()
        );
    }

    #[test]
    fn a_pod_without_an_address_is_refused() {
        assert_eq!(refusal(&["10.0.0.1"], &[]), "pod `db` has no address");
    }

    #[test]
    fn addresses_that_are_not_routed_are_refused() {
        for address in [
            "0.0.0.0",
            "127.0.0.1",
            "169.254.1.1",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            assert!(
                refusal(&[address], &["10.0.0.2"]).contains("cannot be routed"),
                "{address}"
            );
        }
        for address in ["::", "::1", "fe80::5", "ff02::1", "::ffff:10.0.0.1"] {
            assert!(
                refusal(&[address], &["10.0.0.2"]).contains("cannot be routed"),
                "{address}"
            );
        }
    }

    #[test]
    fn a_pod_on_an_unknown_node_and_a_name_used_twice_are_refused() {
        let mut lost = topology(&["10.0.0.1"], &["10.0.0.2"]);
        lost.pods[1].node = "node-z".to_owned();
        assert!(
            matches!(lost.check(Wiring::Routed), Err(LabError::UnknownNode(name)) if name == "node-z")
        );
        let mut twins = topology(&["10.0.0.1"], &["10.0.0.2"]);
        twins.pods[1].name = "web".to_owned();
        assert!(
            matches!(twins.check(Wiring::Routed), Err(LabError::DuplicateName(name)) if name == "web")
        );
    }
}
