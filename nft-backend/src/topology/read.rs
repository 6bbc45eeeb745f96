//! What `ip -json` and the bridge settings say about a namespace.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::TopologyError;
use super::probe::{ip, ip_well, name, setting};

/// An interface, with what tells its kind apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Link {
    #[serde(rename = "ifindex")]
    pub(super) index: u32,
    #[serde(rename = "ifname")]
    pub(super) name: String,
    /// The bridge or the like that it is a port of.
    pub(super) master: Option<String>,
    /// The index of a veth's peer, or of the parent of a macvlan or ipvlan device, in its own namespace.
    #[serde(rename = "link_index")]
    pub(super) other_end: Option<u32>,
    #[serde(rename = "linkinfo", default)]
    pub(super) info: LinkInfo,
    #[serde(rename = "addr_info", default)]
    pub(super) addresses: Vec<AddressInfo>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct LinkInfo {
    /// `veth`, `bridge`, `macvlan`; a physical interface has none.
    #[serde(rename = "info_kind")]
    pub(super) kind: Option<String>,
    #[serde(rename = "info_data", default)]
    pub(super) data: LinkData,
}

/// What a bridge has; other kinds have other members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct LinkData {
    #[serde(default)]
    pub(super) nf_call_iptables: u8,
    #[serde(default)]
    pub(super) nf_call_ip6tables: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct AddressInfo {
    pub(super) local: Option<IpAddr>,
}

/// The route that an address is sent by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Route {
    /// The prefix; an address without a length stands for itself alone.
    dst: String,
    /// `local` for the namespace's own addresses.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Missing when there are several next hops.
    pub(super) dev: Option<String>,
    pub(super) gateway: Option<IpAddr>,
}

/// Whether the namespace as a whole has bridges call netfilter. `None` when the kernel's bridges cannot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BridgeSettings {
    pub(super) ipv4: bool,
    pub(super) ipv6: bool,
}

impl Link {
    pub(super) fn is(&self, kind: &str) -> bool {
        self.info.kind.as_deref() == Some(kind)
    }

    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.addresses
            .iter()
            .any(|info| info.local == Some(address))
    }

    /// Whether packets of the address's family between ports of this bridge pass the IP hooks.
    pub(super) fn calls_netfilter(&self, settings: BridgeSettings, is_ipv6: bool) -> bool {
        let data = &self.info.data;
        if is_ipv6 {
            settings.ipv6 || data.nf_call_ip6tables == 1
        } else {
            settings.ipv4 || data.nf_call_iptables == 1
        }
    }
}

impl Route {
    pub(super) fn is_local(&self) -> bool {
        self.kind.as_deref() == Some("local")
    }

    /// Whether the route is for this address alone.
    pub(super) fn is_for(&self, address: IpAddr) -> bool {
        self.dst.parse() == Ok(address)
    }
}

/// The interfaces of a namespace, with their addresses.
pub(super) fn links(namespace: Option<&Path>) -> Result<Vec<Link>, TopologyError> {
    const COMMAND: [&str; 4] = ["-json", "-details", "address", "show"];
    let answer = ip_well(namespace, &COMMAND)?;
    parse(&answer, &COMMAND)
}

/// The route of each address, in their order.
///
/// `ip -batch` prints nothing for an address without a route, so each answer is followed by a line that
/// always comes.
pub(super) fn routes(
    namespace: Option<&Path>,
    addresses: &[IpAddr],
) -> Result<Vec<Option<Route>>, TopologyError> {
    const COMMAND: [&str; 4] = ["-json", "-force", "-batch", "-"];
    if addresses.is_empty() {
        return Ok(Vec::new());
    }
    let mut lines = String::new();
    for address in addresses {
        writeln!(lines, "route get fibmatch {address}\nlink show dev lo")
            .expect("writing to a string does not fail");
    }
    let finished = ip(namespace, &COMMAND, &lines)?;
    let answer = String::from_utf8_lossy(&finished.stdout);
    let mut routes = Vec::with_capacity(addresses.len());
    let mut route = None;
    for line in answer.lines().filter(|line| !line.trim().is_empty()) {
        if line.contains("\"ifname\":\"lo\"") {
            routes.push(route.take());
        } else {
            let answers: Vec<Route> = parse(line.as_bytes(), &COMMAND)?;
            route = answers.into_iter().next();
        }
    }
    if routes.len() == addresses.len() {
        return Ok(routes);
    }
    Err(TopologyError::NotUnderstood {
        command: name(&COMMAND),
        reason: format!("{} answers for {} addresses", routes.len(), addresses.len()),
    })
}

/// The settings for all bridges; `None` when the kernel has no `br_netfilter`, or not yet.
pub(super) fn bridge_settings(
    namespace: Option<&Path>,
) -> Result<Option<BridgeSettings>, TopologyError> {
    let ipv4 = setting(namespace, "bridge/bridge-nf-call-iptables")?;
    let ipv6 = setting(namespace, "bridge/bridge-nf-call-ip6tables")?;
    let (Some(ipv4), Some(ipv6)) = (ipv4, ipv6) else {
        return Ok(None);
    };
    let is_on = |text: String| text.trim() == "1";
    Ok(Some(BridgeSettings {
        ipv4: is_on(ipv4),
        ipv6: is_on(ipv6),
    }))
}

fn parse<T: DeserializeOwned>(json: &[u8], command: &[&str]) -> Result<T, TopologyError> {
    serde_json::from_slice(json).map_err(|error| TopologyError::NotUnderstood {
        command: name(command),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What iproute2 6.1 prints, shortened.
    const LINKS: &str = r#"[
        {"ifindex":1,"ifname":"lo","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8}]},
        {"ifindex":3,"ifname":"cni0","linkinfo":{"info_kind":"bridge","info_data":{"nf_call_iptables":1,
          "nf_call_ip6tables":0,"group_addr":"01:80:c2:00:00:00"}},"addr_info":[]},
        {"ifindex":4,"link_index":2,"ifname":"veth0","master":"cni0","link_netnsid":0,
          "linkinfo":{"info_kind":"veth","info_slave_kind":"bridge","info_slave_data":{"state":"forwarding"}},
          "addr_info":[]},
        {}]"#;

    #[test]
    fn the_kinds_of_interfaces_are_read() {
        let links: Vec<Link> = parse(LINKS.replace(",\n        {}]", "]").as_bytes(), &[]).unwrap();
        assert!(links[0].info.kind.is_none() && links[0].has("127.0.0.1".parse().unwrap()));
        let off = BridgeSettings::default();
        assert!(links[1].calls_netfilter(off, false) && !links[1].calls_netfilter(off, true));
        let on = BridgeSettings {
            ipv4: false,
            ipv6: true,
        };
        assert!(links[1].calls_netfilter(on, true));
        assert!(links[2].is("veth") && links[2].other_end == Some(2));
        assert_eq!(links[2].master.as_deref(), Some("cni0"));
    }

    #[test]
    fn an_answer_without_the_members_that_count_is_an_error() {
        let refused = parse::<Vec<Link>>(LINKS.as_bytes(), &["address"]).unwrap_err();
        assert!(
            refused
                .to_string()
                .starts_with("the answer of `ip address`")
        );
    }

    #[test]
    fn a_route_is_for_one_address_only_if_it_has_no_length() {
        let route = |dst: &str| Route {
            dst: dst.to_owned(),
            ..Route::default()
        };
        let address = "10.0.0.1".parse().unwrap();
        assert!(route("10.0.0.1").is_for(address));
        assert!(!route("10.0.0.0/24").is_for(address) && !route("default").is_for(address));
    }
}
