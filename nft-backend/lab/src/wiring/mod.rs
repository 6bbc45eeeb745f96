//! The ways in which a lab's pods hang on their nodes, and what has to be done for each.
//!
//! Nodes hang on the world in one way ([`uplink`]). Pods hang on their node as one of the files here
//! says; a [`Plan`] is what the files ask for, and [`Plan::carry_out`] does it.

mod bridge;
mod lines;
mod onlink;
mod ptp;
mod routed;
mod shared_uplink;
mod site;
mod unattached;
mod uplink;
mod vxlan;

use std::thread;

use crate::cni::{self, Attachment};
use crate::ip::{self, Tool};
use crate::{LabError, Namespace, Topology};

pub(crate) use self::site::Site;
pub(crate) use self::uplink::network;

/// Pieces of work that run at the same time.
const WORKERS: usize = 4;

/// How pods hang on their nodes. All but [`Wiring::Routed`] and [`Wiring::Unattached`] call the reference CNI plugins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wiring {
    /// A veth pair and a route for each pod, as Calico does it. Needs no plugin.
    #[default]
    Routed,
    /// The same by the plugin `ptp`, as kindnet does it.
    Ptp,
    /// A bridge for the pods of each node by the plugin `bridge`, as Flannel's `host-gw` does it.
    Bridge {
        /// Whether the settings `bridge-nf-call-iptables` and `bridge-nf-call-ip6tables` of the nodes
        /// are on. When they are off, what two pods of a node say to each other passes no IP hook.
        netfilter: bool,
    },
    /// The same with netfilter, and a VXLAN tunnel for what goes to pods of other nodes, as Flannel and
    /// Canal do it.
    Vxlan,
    /// Each pod has a macvlan device on its node's uplink, by the plugin `macvlan`.
    Macvlan,
    /// The same with ipvlan, by the plugin `ipvlan`. Needs a kernel with `CONFIG_IPVLAN`.
    Ipvlan,
    /// Not at all: the pods of the topology have no addresses and no interface. Whoever attaches them tells with
    /// [`Lab::attached`](crate::Lab::attached), and with [`Lab::route`](crate::Lab::route) where networks of pods are.
    Unattached,
}

impl Wiring {
    /// What the nodes' `bridge-nf-call` settings have to be, where that matters.
    pub(crate) fn bridge_netfilter(self) -> Option<bool> {
        match self {
            Self::Bridge { netfilter } => Some(netfilter),
            Self::Vxlan => Some(true),
            Self::Routed | Self::Ptp | Self::Macvlan | Self::Ipvlan | Self::Unattached => None,
        }
    }
}

/// Batches of lines, each for a namespace.
pub(crate) type Batches<'a> = Vec<(&'a Namespace, String)>;

/// What has to be done, in this order.
#[derive(Debug, Default)]
pub(crate) struct Plan<'a> {
    /// Links between namespaces, from outside of them.
    links: String,
    /// The interfaces of the world and the nodes, and of pods that no plugin attaches.
    interfaces: Batches<'a>,
    /// The pods that a plugin attaches, of each node.
    attachments: Vec<Vec<Attachment<'a>>>,
    /// What plugins leave to be done.
    routes: Batches<'a>,
    /// Entries of forwarding tables.
    forwarding: Batches<'a>,
}

impl<'a> Plan<'a> {
    /// The plan for namespaces in this order: the world, the nodes, the pods.
    pub(crate) fn new(
        wiring: Wiring,
        topology: &'a Topology,
        namespaces: &'a [Namespace],
    ) -> Result<Self, LabError> {
        let site = Site::new(topology, namespaces);
        let mut plan = Self {
            links: uplink::links(&site),
            ..Self::default()
        };
        match wiring {
            Wiring::Routed => routed::add(&site, &mut plan),
            Wiring::Ptp => ptp::add(&site, &mut plan),
            Wiring::Bridge { .. } => bridge::add(&site, bridge::MTU, &mut plan),
            Wiring::Vxlan => vxlan::add(&site, &mut plan)?,
            Wiring::Macvlan => shared_uplink::add(&site, &shared_uplink::MACVLAN, &mut plan),
            Wiring::Unattached => unattached::add(&site, &mut plan),
            Wiring::Ipvlan => shared_uplink::add(&site, &shared_uplink::IPVLAN, &mut plan),
        }
        Ok(plan)
    }

    /// Does it all.
    pub(crate) fn carry_out(&self) -> Result<(), LabError> {
        let batch = |tool| {
            move |(namespace, lines): &(&Namespace, String)| {
                ip::batch_of(tool, Some(namespace.name()), lines)
            }
        };
        ip::batch(None, &self.links)?;
        in_parallel(&self.interfaces, batch(Tool::Ip))?;
        // The plugins of one node work on the same bridge, so they come one after the other.
        in_parallel(&self.attachments, |pods| pods.iter().try_for_each(cni::add))?;
        in_parallel(&self.routes, batch(Tool::Ip))?;
        in_parallel(&self.forwarding, batch(Tool::Bridge))
    }
}

fn in_parallel<T: Sync>(
    work: &[T],
    run: impl Fn(&T) -> Result<(), LabError> + Sync,
) -> Result<(), LabError> {
    let share = work.len().div_ceil(WORKERS).max(1);
    let run = &run;
    thread::scope(|scope| {
        let workers: Vec<_> = work
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().try_for_each(run)))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("programs are run without panics"))
    })
}
