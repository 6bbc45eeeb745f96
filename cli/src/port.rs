//! Ports as people write them.

use policy_core::{FlowPort, PortSet, Protocol};

/// Reads `80/TCP`, `tcp/80`, `80` (which is TCP), or `icmp` (which stands for every protocol without ports).
///
/// # Errors
/// The message says what was expected.
pub fn parse(text: &str) -> Result<FlowPort, String> {
    if text.eq_ignore_ascii_case("icmp") {
        return Ok(FlowPort::Other);
    }
    let (one, other) = text.split_once('/').unwrap_or((text, "TCP"));
    let (number, protocol) = if one.parse::<u32>().is_ok() {
        (one, other)
    } else {
        (other, one)
    };
    let protocol = Protocol::from_api(&protocol.to_ascii_uppercase());
    let number = number.parse::<u16>().ok().filter(|number| *number > 0);
    match (number, protocol) {
        (Some(number), Some(protocol)) => Ok(FlowPort::Port(protocol, number)),
        _ => Err(format!(
            "{text:?} is no port: write 80/TCP, 53/UDP, 9/SCTP or icmp"
        )),
    }
}

/// The set of this port alone.
#[must_use]
pub fn set(port: FlowPort) -> PortSet {
    match port {
        FlowPort::Port(protocol, number) => PortSet::range(protocol, number, number),
        FlowPort::Other => {
            let with_ports = Protocol::ALL.map(|protocol| (protocol, 0, u16::MAX));
            PortSet::all().difference(&with_ports.into_iter().collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_in_either_order() {
        let tcp = |number| Ok(FlowPort::Port(Protocol::Tcp, number));
        assert_eq!(parse("80"), tcp(80));
        assert_eq!(parse("80/TCP"), tcp(80));
        assert_eq!(parse("tcp/80"), tcp(80));
        assert_eq!(parse("53/udp"), Ok(FlowPort::Port(Protocol::Udp, 53)));
        assert_eq!(parse("icmp"), Ok(FlowPort::Other));
        for text in ["", "0", "65536", "80/ICMP", "http", "80/80", "/"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
