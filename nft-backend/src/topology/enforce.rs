//! Sees to it that the packets of pods come to the rules, as far as that can be done.

use std::collections::{BTreeMap, BTreeSet};

use super::{Enforcement, LocalPod, NodeNetwork, Placed, Report, Switch, TopologyError};

/// What was found about the pods of a node, and done about their bridges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enforced {
    /// How packets went before anything was done.
    pub report: Report,
    /// The bridges that were made to call netfilter.
    pub switched: BTreeSet<String>,
    /// The bridges that could not be made to, with the reason.
    pub failed: BTreeMap<String, TopologyError>,
}

impl NodeNetwork {
    /// Tells how the packets of these pods go, and makes each bridge between them call netfilter that does not.
    /// To be called after the rules are in force, as [`ensure_bridge_netfilter`](Self::ensure_bridge_netfilter).
    ///
    /// # Errors
    /// When `ip` cannot be asked. What one bridge refuses is told in [`Enforced::failed`].
    pub fn enforce(&self, pods: &[LocalPod]) -> Result<Enforced, TopologyError> {
        let report = self.detect(pods)?;
        let mut enforced = Enforced::default();
        for bridge in report.bridges_to_switch() {
            match self.ensure_bridge_netfilter(&bridge) {
                Ok(Switch::Switched) => {
                    enforced.switched.insert(bridge);
                }
                Ok(Switch::WasOn) => {}
                Err(error) => {
                    enforced.failed.insert(bridge, error);
                }
            }
        }
        Ok(Enforced { report, ..enforced })
    }
}

impl Enforced {
    /// The addresses that rules do not hold for, each with why and what can be done about it.
    pub fn open(&self) -> impl Iterator<Item = (&Placed, String)> {
        self.report.placed.iter().filter_map(|placed| {
            let reason = match placed.path.enforcement() {
                Enforcement::AtForward | Enforcement::NotASubject => None,
                Enforcement::AfterSwitch { bridge } => {
                    self.failed.get(&bridge).map(ToString::to_string)
                }
                Enforcement::Impossible { reason, way_out } => Some(format!("{reason}; {way_out}")),
            };
            Some((placed, reason?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::PacketPath;
    use super::*;

    #[test]
    fn what_is_not_enforced_is_told_with_the_reason() {
        let placed = |name: &str, path| Placed {
            pod: name.to_owned(),
            address: "10.0.0.1".parse().unwrap(),
            path,
        };
        let bridge = |name: &str, calls_netfilter| PacketPath::BridgePort {
            bridge: name.to_owned(),
            calls_netfilter,
        };
        let interface = "veth1".to_owned();
        let stuck = || TopologyError::NotSwitched {
            bridge: "cni1".to_owned(),
        };
        let enforced = Enforced {
            report: Report {
                placed: vec![
                    placed("shop/routed", PacketPath::RoutedVeth { interface }),
                    placed("shop/switched", bridge("cni0", Some(false))),
                    placed("shop/stuck", bridge("cni1", Some(false))),
                    placed("shop/never", bridge("cni2", None)),
                    placed("shop/host", PacketPath::HostNetwork),
                ],
            },
            switched: BTreeSet::from(["cni0".to_owned()]),
            failed: BTreeMap::from([("cni1".to_owned(), stuck())]),
        };
        let told: Vec<_> = enforced
            .open()
            .map(|(placed, reason)| (placed.pod.as_str(), reason))
            .collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0], ("shop/stuck", stuck().to_string()));
        assert!(told[1].0 == "shop/never" && told[1].1.contains("br_netfilter"));
    }
}
