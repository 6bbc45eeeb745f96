//! Keeps pods of the node from sending with other addresses than their own (`--anti-spoofing`).
//!
//! Which interface is a pod's own is known by the CNI plugin, and by the node's route where that leads to the pod alone.
//! A pod that is known by neither is told, not guessed at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use nft_backend::anti_spoofing::{AntiSpoofing, Done, Own};
use nft_backend::kernel::ApplyError;
use nft_backend::nft::Nft;
use nft_backend::topology::{PacketPath, Report};
use nopal_cni::protocol::Attachment;

use crate::topology::Unenforceable;

/// The interfaces and addresses of the node's pods, and the tables that hold them together. Clones share it.
#[derive(Debug, Clone)]
pub struct Spoofing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    wanted: Mutex<Wanted>,
    /// Whoever enforces has it, so what is wanted is put in force in order.
    tables: Mutex<AntiSpoofing>,
}

/// The interface of each address.
#[derive(Debug, Default)]
struct Wanted {
    by_plugin: BTreeMap<IpAddr, String>,
    by_route: BTreeMap<IpAddr, String>,
}

impl Wanted {
    /// What the runtime says of an address counts before what a route says.
    fn own(&self) -> BTreeSet<Own> {
        let by_route = self.by_route.iter();
        let by_route = by_route.filter(|(address, _)| !self.by_plugin.contains_key(*address));
        let all = self.by_plugin.iter().chain(by_route);
        all.map(|(address, interface)| Own {
            interface: interface.clone(),
            address: *address,
        })
        .collect()
    }
}

/// What keeps pods from forging, if that is asked for; what an earlier process left is taken away otherwise.
///
/// # Errors
/// When it is asked for and the kernel cannot do it.
pub fn prepare(is_asked_for: bool) -> anyhow::Result<Option<Spoofing>> {
    if !is_asked_for {
        if let Err(error) = AntiSpoofing::new(Nft::new()).remove() {
            tracing::warn!(%error, "tables against forged sources may be left from an earlier process");
        }
        return Ok(None);
    }
    let spoofing = Spoofing::new(Nft::new());
    spoofing.enforce().context(
        "--anti-spoofing needs tables of the families inet and bridge (CONFIG_NF_TABLES_BRIDGE)",
    )?;
    Ok(Some(spoofing))
}

impl Spoofing {
    /// In the network namespace that `nft` works in; no pod is known.
    pub fn new(nft: Nft) -> Self {
        Self(Arc::new(Inner {
            wanted: Mutex::default(),
            tables: Mutex::new(AntiSpoofing::new(nft)),
        }))
    }

    /// These are all attachments, in the order of their ADDs: an address is the last one's.
    pub fn attached(&self, attachments: &[Attachment]) {
        let mut by_plugin = BTreeMap::new();
        for attachment in attachments {
            for address in &attachment.addresses {
                match &attachment.host_interface {
                    Some(interface) => by_plugin.insert(*address, interface.clone()),
                    None => by_plugin.remove(address),
                };
            }
        }
        self.wanted().by_plugin = by_plugin;
    }

    /// This is how the node's pods are wired; gives the addresses that anybody may forge from their interfaces.
    pub fn surveyed(&self, report: &Report) -> BTreeSet<Unenforceable> {
        let mut wanted = self.wanted();
        wanted.by_route.clear();
        let mut open = BTreeSet::new();
        for placed in &report.placed {
            let is_known = wanted.by_plugin.contains_key(&placed.address);
            match &placed.path {
                PacketPath::RoutedVeth { interface } => {
                    wanted.by_route.insert(placed.address, interface.clone());
                }
                path if !is_known => open.extend(reason(path).map(|reason| Unenforceable {
                    pod: placed.pod.clone(),
                    address: placed.address,
                    reason,
                })),
                _ => {}
            }
        }
        open
    }

    /// Puts what is known in force. It blocks.
    ///
    /// # Errors
    /// When nft or the kernel refuses; the next call makes all of it anew.
    pub fn enforce(&self) -> Result<Done, ApplyError> {
        let mut tables = self.0.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let own = self.wanted().own();
        let done = tables.enforce(&own)?;
        if done == Done::Repaired {
            tracing::warn!(
                "somebody changed the tables against forged sources; they are made anew"
            );
        }
        Ok(done)
    }

    /// A panic elsewhere leaves plain values behind, which are still right.
    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a pod's own interface is not known; nothing for one that has the node's.
fn reason(path: &PacketPath) -> Option<String> {
    match path {
        PacketPath::RoutedVeth { .. } | PacketPath::HostNetwork => None,
        PacketPath::BridgePort { bridge, .. } => Some(format!(
            "which port of {bridge} is its own is known by the CNI plugin alone; the plugin is not installed, or was not \
             when the pod started"
        )),
        PacketPath::SharedParent { kind, .. } => Some(format!(
            "packets of {kind} devices pass no hook of the node"
        )),
        PacketPath::Unknown { reason } => Some(format!("its interface is not known: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::overlay::tests::attachment;
    use nft_backend::topology::Placed;

    fn placed(address: &str, path: PacketPath) -> Placed {
        Placed {
            pod: "shop/web".to_owned(),
            address: address.parse().unwrap(),
            path,
        }
    }

    #[test]
    fn the_plugin_is_believed_before_routes_and_what_neither_knows_is_told() {
        let spoofing = Spoofing::new(Nft::new());
        let on = |interface: &str, container: &str, address: &str| Attachment {
            host_interface: Some(interface.to_owned()),
            ..attachment("web", "u", container, address)
        };
        spoofing.attached(&[on("veth1", "c1", "10.0.0.1"), on("veth2", "c2", "10.0.0.1")]);
        let routed = |interface: &str| PacketPath::RoutedVeth {
            interface: interface.to_owned(),
        };
        let bridge = || PacketPath::BridgePort {
            bridge: "cni0".to_owned(),
            calls_netfilter: Some(true),
        };
        let report = Report {
            placed: vec![
                placed("10.0.0.1", routed("veth9")),
                placed("10.0.0.3", routed("veth3")),
                placed("10.0.0.4", bridge()),
                placed("10.0.0.5", PacketPath::HostNetwork),
            ],
        };
        let open = spoofing.surveyed(&report);
        let open: Vec<String> = open.iter().map(|open| open.address.to_string()).collect();
        assert_eq!(open, ["10.0.0.4"]);
        let own = spoofing.wanted().own();
        let own: Vec<(&str, String)> = own
            .iter()
            .map(|own| (own.interface.as_str(), own.address.to_string()))
            .collect();
        let expected = [
            ("veth2", "10.0.0.1".to_owned()),
            ("veth3", "10.0.0.3".to_owned()),
        ];
        assert_eq!(own, expected);
        spoofing.attached(&[on("veth4", "c4", "10.0.0.4")]);
        assert!(spoofing.surveyed(&report).is_empty());
    }
}
