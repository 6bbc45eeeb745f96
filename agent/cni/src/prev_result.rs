//! What the plugins before this one have done: the pod's addresses, and the interface on the node's side.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{CniError, Code};
use crate::protocol::MAX_ADDRESSES;

#[derive(Debug, Deserialize)]
struct Written {
    #[serde(default)]
    interfaces: Vec<Interface>,
    #[serde(default)]
    ips: Vec<Ip>,
}

#[derive(Debug, Deserialize)]
struct Interface {
    name: String,
    #[serde(default)]
    sandbox: String,
}

#[derive(Debug, Deserialize)]
struct Ip {
    address: String,
    #[serde(default)]
    interface: Option<usize>,
}

/// What of a result matters for policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodNetwork {
    /// The pod's addresses, in the result's order.
    pub addresses: Vec<IpAddr>,
    /// The pod's link on the node's side, where the result names just one.
    pub host_interface: Option<String>,
}

/// Reads a result. An address whose interface lies on the node's side is the node's; one without an interface is the
/// pod's.
///
/// # Errors
/// When it cannot be read, has no address of the pod, or more than [`MAX_ADDRESSES`].
pub fn read(result: &RawValue) -> Result<PodNetwork, CniError> {
    let written: Written = serde_json::from_str(result.get()).map_err(|error| {
        CniError::new(Code::Decode, "cannot read prevResult", error.to_string())
    })?;
    if written.ips.len() > MAX_ADDRESSES {
        return Err(invalid(format!(
            "it has {} addresses; a pod may have {MAX_ADDRESSES}",
            written.ips.len()
        )));
    }
    let mut addresses = Vec::new();
    for ip in &written.ips {
        let interface = match ip.interface {
            None => None,
            Some(index) => Some(written.interfaces.get(index).ok_or_else(|| {
                invalid(format!(
                    "{} is on interface {index}, which it does not have",
                    ip.address
                ))
            })?),
        };
        if interface.is_some_and(|interface| interface.sandbox.is_empty()) {
            continue;
        }
        let bare = ip
            .address
            .split_once('/')
            .map_or(ip.address.as_str(), |(bare, _)| bare);
        let address = bare
            .parse()
            .map_err(|_| invalid(format!("{:?} is no address", ip.address)))?;
        addresses.push(address);
    }
    if addresses.is_empty() {
        return Err(invalid(
            "it has no address of the pod: without one, policies cannot be enforced; put nopal-cni after the plugin \
             that gives addresses"
                .to_owned(),
        ));
    }
    let mut on_node = written.interfaces.iter().filter(|interface| {
        // A bridge is not the pod's link; its ports are veth pairs.
        interface.sandbox.is_empty() && !is_bridge(interface, &written.interfaces)
    });
    let host_interface = on_node.next().map(|interface| interface.name.clone());
    Ok(PodNetwork {
        addresses,
        host_interface: host_interface.filter(|_| on_node.next().is_none()),
    })
}

/// The `bridge` plugin names the bridge first, then the link on the node's side, then the pod's.
fn is_bridge(interface: &Interface, all: &[Interface]) -> bool {
    let on_node = all.iter().filter(|other| other.sandbox.is_empty()).count();
    on_node > 1
        && all
            .first()
            .is_some_and(|first| first.name == interface.name)
}

fn invalid(details: String) -> CniError {
    CniError::new(Code::InvalidConfig, "prevResult cannot be used", details)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<PodNetwork, CniError> {
        read(&RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn the_bridge_plugins_result_has_the_pods_addresses_and_its_link() {
        let network = read_text(
            r#"{"cniVersion":"1.0.0","interfaces":[{"name":"cni0","mac":"a"},{"name":"veth1"},
                {"name":"eth0","sandbox":"/run/netns/p"}],
                "ips":[{"address":"10.1.0.5/24","gateway":"10.1.0.1","interface":2},
                       {"address":"fd00::5/64","interface":2}],"routes":[{"dst":"0.0.0.0/0"}]}"#,
        );
        let network = network.unwrap();
        let expected: Vec<IpAddr> = ["10.1.0.5", "fd00::5"]
            .map(|text| text.parse().unwrap())
            .into();
        assert_eq!(network.addresses, expected);
        assert_eq!(network.host_interface.as_deref(), Some("veth1"));
    }

    #[test]
    fn an_address_on_the_nodes_side_is_not_the_pods() {
        let text = r#"{"interfaces":[{"name":"veth1"},{"name":"eth0","sandbox":"s"}],
            "ips":[{"address":"10.0.0.1/32","interface":0},{"address":"10.0.0.2/32","interface":1}]}"#;
        let network = read_text(text).unwrap();
        assert_eq!(network.addresses, ["10.0.0.2".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_result_without_interfaces_as_versions_before_1_have_it_is_the_pods() {
        let text =
            r#"{"cniVersion":"0.3.1","ips":[{"version":"4","address":"10.0.0.2/24"}],"dns":{}}"#;
        let network = read_text(text).unwrap();
        assert_eq!(network.addresses.len(), 1);
        assert_eq!(network.host_interface, None);
    }

    #[test]
    fn what_no_policy_could_be_enforced_for_is_refused() {
        let many: Vec<String> = (0..10_000)
            .map(|n| format!(r#"{{"address":"10.0.{}.{}/32"}}"#, n / 256, n % 256))
            .collect();
        for text in [
            "{}".to_owned(),
            r#"{"ips":[{"address":"x"}]}"#.to_owned(),
            r#"{"ips":[{"address":"10.0.0.1/24","interface":3}]}"#.to_owned(),
            r#"{"ips":[{"address":"10.0.0.1/24","interface":-1}]}"#.to_owned(),
            r#"{"ips":5}"#.to_owned(),
            "5".to_owned(),
            format!(r#"{{"ips":[{}]}}"#, many.join(",")),
        ] {
            let error = read_text(&text).unwrap_err();
            assert!([6, 7].contains(&error.code.number()), "{error}");
        }
    }
}
