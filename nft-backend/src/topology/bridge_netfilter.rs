//! Makes one bridge call netfilter.

use std::path::Path;

use super::TopologyError;
use super::probe::ip_well;
use super::read::{self, BridgeSettings, Link};

/// What was done about a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Nothing: packets of both families passed the IP hooks already.
    WasOn,
    /// The bridge was told to pass them.
    Switched,
}

/// See [`NodeNetwork::ensure_bridge_netfilter`](super::NodeNetwork::ensure_bridge_netfilter).
///
/// Without the module `br_netfilter` the kernel takes the attributes and does nothing with them, so it
/// is looked for first.
pub(super) fn ensure(namespace: Option<&Path>, bridge: &str) -> Result<Switch, TopologyError> {
    let missing = || TopologyError::NoBridgeNetfilter {
        bridge: bridge.to_owned(),
    };
    let settings = read::bridge_settings(namespace)?.ok_or_else(missing)?;
    if calls_netfilter(&find(namespace, bridge)?, settings) {
        return Ok(Switch::WasOn);
    }
    let switch = ["link", "set", "dev", bridge, "type", "bridge"];
    let on = ["nf_call_iptables", "1", "nf_call_ip6tables", "1"];
    ip_well(namespace, &[&switch[..], &on].concat())?;
    if calls_netfilter(&find(namespace, bridge)?, settings) {
        return Ok(Switch::Switched);
    }
    Err(TopologyError::NotSwitched {
        bridge: bridge.to_owned(),
    })
}

fn find(namespace: Option<&Path>, bridge: &str) -> Result<Link, TopologyError> {
    let links = read::links(namespace)?.into_iter();
    links
        .into_iter()
        .find(|link| link.name == bridge && link.is("bridge"))
        .ok_or_else(|| TopologyError::NoBridge {
            bridge: bridge.to_owned(),
        })
}

fn calls_netfilter(bridge: &Link, settings: BridgeSettings) -> bool {
    [false, true]
        .into_iter()
        .all(|is_ipv6| bridge.calls_netfilter(settings, is_ipv6))
}
