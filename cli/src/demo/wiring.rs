//! How the pods of a demonstration hang on their nodes.

use clap::ValueEnum;

/// A topology that can be chosen. All but the first call the reference CNI plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Wiring {
    /// A veth pair and a route for each pod, as Calico does it.
    #[default]
    Routed,
    /// The same by the CNI plugin ptp, as kindnet does it.
    Ptp,
    /// A bridge on each node that does not call netfilter until nopal switches it.
    Bridge,
    /// Bridges that call netfilter, and a VXLAN tunnel between the nodes, as Flannel does it.
    Vxlan,
    /// A macvlan device for each pod, which the rules of a node do not hold for: refused, with the reason.
    Macvlan,
}

impl From<Wiring> for nopal_lab::Wiring {
    fn from(wiring: Wiring) -> Self {
        match wiring {
            Wiring::Routed => Self::Routed,
            Wiring::Ptp => Self::Ptp,
            Wiring::Bridge => Self::Bridge { netfilter: false },
            Wiring::Vxlan => Self::Vxlan,
            Wiring::Macvlan => Self::Macvlan,
        }
    }
}
