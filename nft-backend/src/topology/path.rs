//! From interfaces and routes to the way of a pod's packets. Pure.

use std::fmt;
use std::net::IpAddr;

use super::read::{BridgeSettings, Link, Route};

/// The way of the packets of one address of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PacketPath {
    /// By a veth pair, whose end on the node has a route of its own. The node forwards every packet.
    RoutedVeth {
        /// The end on the node.
        interface: String,
    },
    /// By a veth pair whose end on the node is a port of a bridge.
    BridgePort {
        /// The bridge.
        bridge: String,
        /// Whether packets from port to port pass the IP hooks of the node. `None` when they cannot,
        /// since the kernel has no `br_netfilter`.
        calls_netfilter: Option<bool>,
    },
    /// By a device that shares its parent's hardware: the parent's driver passes packets on, and the
    /// node forwards none of them.
    SharedParent {
        /// `macvlan` or `ipvlan`.
        kind: String,
        /// The parent on the node, if it is there.
        parent: Option<String>,
    },
    /// The address is the node's own.
    HostNetwork,
    /// Anything else.
    Unknown {
        /// What was found.
        reason: String,
    },
}

/// Whether our rules hold for a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enforcement {
    /// They hold: every packet that is not the own node's passes the forward hook.
    AtForward,
    /// They hold for packets between the bridge's ports once the bridge calls netfilter, and for all
    /// others now. [`NodeNetwork::ensure_bridge_netfilter`](super::NodeNetwork::ensure_bridge_netfilter)
    /// sees to it.
    AfterSwitch {
        /// The bridge.
        bridge: String,
    },
    /// No policy is about a pod on its node's network.
    NotASubject,
    /// They do not hold.
    Impossible {
        /// Why.
        reason: String,
        /// What can be done about it.
        way_out: String,
    },
}

const BY_VETH: &str = "use a CNI that gives pods a veth pair, by a route or on a Linux bridge";

impl PacketPath {
    /// Whether our rules at the node's forward hook see these packets.
    pub fn enforcement(&self) -> Enforcement {
        match self {
            Self::RoutedVeth { .. }
            | Self::BridgePort {
                calls_netfilter: Some(true),
                ..
            } => Enforcement::AtForward,
            Self::BridgePort {
                bridge,
                calls_netfilter: Some(false),
            } => Enforcement::AfterSwitch {
                bridge: bridge.clone(),
            },
            Self::BridgePort {
                bridge,
                calls_netfilter: None,
            } => impossible(
                format!(
                    "packets between the ports of {bridge} pass no IP hook, and the kernel has no bridge netfilter"
                ),
                "`modprobe br_netfilter` (CONFIG_BRIDGE_NETFILTER)",
            ),
            Self::SharedParent { kind, .. } => impossible(
                format!(
                    "the node does not forward packets of {kind} devices, so no rule of the node sees them"
                ),
                BY_VETH,
            ),
            Self::HostNetwork => Enforcement::NotASubject,
            Self::Unknown { reason } => impossible(
                format!("it is not known that the node forwards its packets: {reason}"),
                BY_VETH,
            ),
        }
    }
}

impl fmt::Display for PacketPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoutedVeth { interface } => write!(f, "routed by {interface}"),
            Self::BridgePort { bridge, .. } => write!(f, "on the bridge {bridge}"),
            Self::SharedParent { kind, parent } => match parent {
                Some(parent) => write!(f, "{kind} on {parent}"),
                None => write!(f, "{kind}"),
            },
            Self::HostNetwork => f.write_str("on its node's network"),
            Self::Unknown { .. } => f.write_str("wired in an unknown way"),
        }
    }
}

impl fmt::Display for Enforcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtForward => f.write_str("enforced at the forward hook"),
            Self::AfterSwitch { bridge } => write!(
                f,
                "not enforced between ports of {bridge} until it calls netfilter: `ip link set dev \
                 {bridge} type bridge nf_call_iptables 1 nf_call_ip6tables 1`"
            ),
            Self::NotASubject => f.write_str("no policy is about it"),
            Self::Impossible { reason, way_out } => {
                write!(f, "NOT ENFORCED: {reason}; {way_out}")
            }
        }
    }
}

fn impossible(reason: String, way_out: &str) -> Enforcement {
    Enforcement::Impossible {
        reason,
        way_out: way_out.to_owned(),
    }
}

/// From the pod's own interface: `inside` are those of the pod, `node` those of its node.
pub(super) fn by_interface(
    address: IpAddr,
    inside: &[Link],
    node: &[Link],
    settings: Option<BridgeSettings>,
) -> PacketPath {
    let Some(own) = inside.iter().find(|link| link.has(address)) else {
        return unknown(format!("no interface of the pod has {address}"));
    };
    let parent = node.iter().find(|link| Some(link.index) == own.other_end);
    if own.is("macvlan") || own.is("ipvlan") {
        return PacketPath::SharedParent {
            kind: own.info.kind.clone().unwrap_or_default(),
            parent: parent.map(|parent| parent.name.clone()),
        };
    }
    // An index says nothing about the namespace, so both ends have to name each other.
    let peer = parent.filter(|peer| peer.is("veth") && peer.other_end == Some(own.index));
    match (own.is("veth"), peer) {
        (true, Some(peer)) => by_host_side(peer, address, node, settings),
        (true, None) => unknown(format!(
            "the other end of its {} is not on the node",
            own.name
        )),
        (false, _) => {
            let kind = own.info.kind.as_deref().unwrap_or("a device of its own");
            unknown(format!("its {} is {kind}", own.name))
        }
    }
}

/// The end on the node has a route, or is a port of a bridge, or of a switch that we know nothing about.
fn by_host_side(
    peer: &Link,
    address: IpAddr,
    node: &[Link],
    settings: Option<BridgeSettings>,
) -> PacketPath {
    let Some(master) = &peer.master else {
        return PacketPath::RoutedVeth {
            interface: peer.name.clone(),
        };
    };
    let bridge = node.iter().find(|link| link.name == *master);
    match bridge.filter(|bridge| bridge.is("bridge")) {
        Some(bridge) => on_bridge(bridge, address, settings),
        None => unknown(format!(
            "{} is a port of {master}, which is no Linux bridge",
            peer.name
        )),
    }
}

/// From the node's route to the address.
pub(super) fn by_route(
    address: IpAddr,
    route: Option<Route>,
    node: &[Link],
    settings: Option<BridgeSettings>,
) -> PacketPath {
    let Some(route) = route else {
        return unknown("the node has no route to it".to_owned());
    };
    if route.is_local() {
        return PacketPath::HostNetwork;
    }
    let found = |link: &&Link| Some(&link.name) == route.dev.as_ref();
    let Some(link) = node.iter().find(found) else {
        return unknown("the node's route to it has no single interface".to_owned());
    };
    // A router of the pod network has a link-local address that stands for the pod itself.
    let is_direct = route.gateway.is_none_or(is_link_local);
    if link.is("bridge") && route.gateway.is_none() {
        return on_bridge(link, address, settings);
    }
    if link.is("veth") && link.master.is_none() && is_direct && route.is_for(address) {
        return PacketPath::RoutedVeth {
            interface: link.name.clone(),
        };
    }
    let name = &link.name;
    unknown(format!(
        "its packets go by {name}, which is not known to be its own interface, as with macvlan and ipvlan"
    ))
}

fn on_bridge(bridge: &Link, address: IpAddr, settings: Option<BridgeSettings>) -> PacketPath {
    let calls = |settings| bridge.calls_netfilter(settings, address.is_ipv6());
    PacketPath::BridgePort {
        bridge: bridge.name.clone(),
        calls_netfilter: settings.map(calls),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn unknown(reason: String) -> PacketPath {
    PacketPath::Unknown { reason }
}

#[cfg(test)]
mod tests {
    use super::super::read::{AddressInfo, LinkInfo};
    use super::*;

    const POD: &str = "10.0.0.1";

    fn pod() -> IpAddr {
        POD.parse().unwrap()
    }

    fn link(index: u32, name: &str, kind: &str, other_end: u32) -> Link {
        Link {
            index,
            name: name.to_owned(),
            other_end: Some(other_end),
            info: LinkInfo {
                kind: (!kind.is_empty()).then(|| kind.to_owned()),
                ..LinkInfo::default()
            },
            ..Link::default()
        }
    }

    fn port(mut link: Link, master: &str) -> Link {
        link.master = Some(master.to_owned());
        link
    }

    fn inside(kind: &str, other_end: u32) -> [Link; 1] {
        let mut own = link(2, "eth0", kind, other_end);
        own.addresses = vec![AddressInfo { local: Some(pod()) }];
        [own]
    }

    fn route(text: &str) -> Route {
        serde_json::from_str(text).unwrap()
    }

    fn told(path: &PacketPath) -> String {
        format!("{path}: {}", path.enforcement())
    }

    const OFF: Option<BridgeSettings> = Some(BridgeSettings {
        ipv4: false,
        ipv6: true,
    });

    #[test]
    fn the_two_ends_of_a_veth_pair_have_to_name_each_other() {
        let node = [link(7, "veth0", "veth", 2)];
        let path = by_interface(pod(), &inside("veth", 7), &node, OFF);
        assert_eq!(told(&path), "routed by veth0: enforced at the forward hook");
        for stranger in [link(7, "veth0", "veth", 3), link(7, "eth0", "", 2)] {
            let path = by_interface(pod(), &inside("veth", 7), &[stranger], OFF);
            assert!(told(&path).contains("NOT ENFORCED"), "{path:?}");
        }
    }

    #[test]
    fn a_port_of_a_bridge_is_judged_by_what_the_bridge_calls_for_the_family() {
        let node = [
            link(3, "cni0", "bridge", 0),
            port(link(7, "veth0", "veth", 2), "cni0"),
        ];
        let path = |settings| by_interface(pod(), &inside("veth", 7), &node, settings);
        let switch = Enforcement::AfterSwitch {
            bridge: "cni0".to_owned(),
        };
        assert_eq!(path(OFF).enforcement(), switch);
        let on = BridgeSettings {
            ipv4: true,
            ipv6: false,
        };
        assert_eq!(path(Some(on)).enforcement(), Enforcement::AtForward);
        assert!(told(&path(None)).contains("modprobe br_netfilter"));
    }

    #[test]
    fn ports_of_other_switches_and_other_devices_are_not_pretended_to_be_enforced() {
        let ovs = [
            link(3, "ovs-system", "openvswitch", 0),
            port(link(7, "veth0", "veth", 2), "ovs-system"),
        ];
        assert!(
            told(&by_interface(pod(), &inside("veth", 7), &ovs, OFF)).contains("no Linux bridge")
        );
        let node = [link(7, "eth0", "", 0)];
        let macvlan = by_interface(pod(), &inside("macvlan", 7), &node, OFF);
        assert!(told(&macvlan).starts_with("macvlan on eth0: NOT ENFORCED: the node does not"));
        let moved = by_interface(pod(), &inside("", 7), &node, OFF);
        assert!(told(&moved).contains("a device of its own"));
        let elsewhere = by_interface("10.0.0.9".parse().unwrap(), &inside("veth", 7), &node, OFF);
        assert!(told(&elsewhere).contains("no interface of the pod has 10.0.0.9"));
    }

    #[test]
    fn a_route_tells_only_if_it_leads_to_the_pod_itself() {
        let node = [
            link(1, "lo", "", 0),
            link(2, "eth0", "veth", 9),
            link(3, "cni0", "bridge", 0),
            link(4, "veth0", "veth", 2),
            link(5, "shim", "macvlan", 2),
        ];
        let tells = |text: &str| told(&by_route(pod(), Some(route(text)), &node, OFF));
        let own = r#"{"dst":"10.0.0.1","dev":"veth0"}"#;
        assert!(tells(own).starts_with("routed by veth0: enforced"));
        let by_router = r#"{"dst":"10.0.0.1","gateway":"169.254.1.2","dev":"veth0"}"#;
        assert!(tells(by_router).starts_with("routed by veth0: enforced"));
        assert!(tells(r#"{"dst":"10.0.0.0/24","dev":"cni0"}"#).starts_with("on the bridge cni0"));
        assert!(tells(r#"{"type":"local","dst":"10.0.0.1","dev":"eth0"}"#).contains("no policy"));
        for elsewhere in [
            r#"{"dst":"default","gateway":"192.0.2.1","dev":"eth0"}"#,
            r#"{"dst":"10.0.0.0/24","dev":"eth0"}"#,
            r#"{"dst":"10.0.0.1","gateway":"192.0.2.1","dev":"eth0"}"#,
            r#"{"dst":"10.0.0.0/24","gateway":"192.0.2.1","dev":"cni0"}"#,
            r#"{"dst":"10.0.0.1","dev":"shim"}"#,
            r#"{"dst":"10.0.0.1"}"#,
        ] {
            assert!(tells(elsewhere).contains("NOT ENFORCED"), "{elsewhere}");
        }
        assert!(told(&by_route(pod(), None, &node, OFF)).contains("no route"));
    }
}
