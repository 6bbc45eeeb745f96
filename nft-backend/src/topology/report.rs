//! What was found out about a node's pods.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use super::{Enforcement, PacketPath};

/// One address of a pod and the way of its packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The pod.
    pub pod: String,
    /// The address.
    pub address: IpAddr,
    /// The way.
    pub path: PacketPath,
}

/// The ways of all pods of a node. Printed, it is one line for each address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order in which pods and addresses were asked about.
    pub placed: Vec<Placed>,
}

impl Report {
    /// The bridges that have to call netfilter before the rules hold.
    pub fn bridges_to_switch(&self) -> BTreeSet<String> {
        let bridge = |placed: &Placed| match placed.path.enforcement() {
            Enforcement::AfterSwitch { bridge } => Some(bridge),
            _ => None,
        };
        self.placed.iter().filter_map(bridge).collect()
    }

    /// The addresses that the rules cannot hold for.
    pub fn impossible(&self) -> impl Iterator<Item = &Placed> {
        let is_impossible =
            |placed: &&Placed| matches!(placed.path.enforcement(), Enforcement::Impossible { .. });
        self.placed.iter().filter(is_impossible)
    }

    /// Whether the rules hold now for every address.
    pub fn is_enforced(&self) -> bool {
        self.bridges_to_switch().is_empty() && self.impossible().next().is_none()
    }
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pod, address, path } = self;
        write!(f, "{pod} ({address}), {path}: {}", path.enforcement())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.placed
            .iter()
            .try_for_each(|placed| writeln!(f, "{placed}"))
    }
}
