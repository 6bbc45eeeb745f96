//! An entry of `ports`.

use super::object::running_containers;
use crate::flow::{FlowPort, Protocol};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::NetworkPolicyPort;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Whether the entry admits a flow to `port` of `destination` (`None` when that is no pod); `None` when the entry is
/// not understood.
pub(super) fn matches(
    entry: &NetworkPolicyPort,
    port: FlowPort,
    destination: Option<&Pod>,
) -> Option<bool> {
    let protocol = protocol(entry.protocol.as_deref())?;
    let number = match port {
        FlowPort::Port(used, number) if used == protocol => Some(i32::from(number)),
        FlowPort::Port(..) | FlowPort::Other => None, // 17
    };
    match (&entry.port, entry.end_port) {
        (None, None) => Some(number.is_some()), // 18
        (Some(IntOrString::Int(first)), last) => {
            let last = last.unwrap_or(*first);
            let understood = is_number(*first) && is_number(last) && *first <= last;
            understood.then_some(number.is_some_and(|number| *first <= number && number <= last)) // 19
        }
        (Some(IntOrString::String(name)), None) if is_name(name) => {
            let numbers = destination.map(|pod| numbers_of(pod, name, protocol));
            let named = numbers.unwrap_or_default();
            Some(number.is_some_and(|number| named.contains(&number))) // 20
        }
        _ => None,
    }
}

/// The numbers that the pod's containers give a name and protocol.
fn numbers_of(pod: &Pod, name: &str, wanted: Protocol) -> Vec<i32> {
    running_containers(pod)
        .into_iter()
        .flat_map(|container| container.ports.iter().flatten())
        .filter(|port| port.name.as_deref() == Some(name))
        .filter(|port| protocol(port.protocol.as_deref()) == Some(wanted))
        .map(|port| port.container_port)
        .collect()
}

fn protocol(written: Option<&str>) -> Option<Protocol> {
    match written {
        None | Some("TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(_) => None,
    }
}

fn is_number(port: i32) -> bool {
    (1..=65535).contains(&port)
}

/// An IANA service name: 1 to 15 lower-case letters, digits and single inner hyphens, with a letter among them.
fn is_name(name: &str) -> bool {
    let parts_are_whole = name.split('-').all(|part| !part.is_empty());
    let characters: Vec<char> = name.chars().collect();
    let letters = characters.iter().filter(|c| c.is_ascii_lowercase()).count();
    let others = characters
        .iter()
        .filter(|c| c.is_ascii_digit() || **c == '-')
        .count();
    parts_are_whole
        && letters >= 1
        && letters + others == characters.len()
        && characters.len() <= 15
}
