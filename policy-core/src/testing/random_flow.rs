//! Random flows aimed at the points where verdicts change: objects' addresses, the borders of blocks, the ends of
//! port ranges.

use super::{Objects, Rng};
use crate::cidr::Cidr;
use crate::flow::{Flow, FlowPort, Protocol};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses of nobody in the cluster.
const WORLD: [&str; 4] = [
    "198.51.100.7",
    "203.0.113.9",
    "2001:db8::7",
    "fd00:10:0:9::9",
];

/// The flow of a seed.
///
/// # Panics
/// Never: there always is an address to choose.
#[must_use]
pub fn random_flow(objects: &Objects, seed: u64) -> Flow {
    random_flows(objects, seed, 1)[0]
}

/// The first flows of a seed. Both ends of each are of one family.
///
/// # Panics
/// Never: there always is an address to choose.
#[must_use]
pub fn random_flows(objects: &Objects, seed: u64, count: usize) -> Vec<Flow> {
    let rng = &mut Rng::new(seed);
    let mut points = Points::default();
    for object in objects.written() {
        points.collect("", object);
    }
    for pod in objects.pods() {
        points.collect_ports(pod);
    }
    for address in WORLD {
        let address = address.parse().expect("an address");
        points.others.insert(address);
    }
    (0..count)
        .map(|_| {
            let is_ipv4 = rng.chance(55);
            let to = points.address(rng, is_ipv4);
            Flow {
                from: points.address(rng, is_ipv4),
                to,
                port: points.port(rng, to),
            }
        })
        .collect()
}

/// Where verdicts can change.
#[derive(Default)]
struct Points {
    /// Addresses that objects have.
    owned: BTreeSet<IpAddr>,
    /// Addresses at the borders of blocks, and of the world.
    others: BTreeSet<IpAddr>,
    ports: BTreeSet<u16>,
    /// The numbers that the containers of an address's pods declare.
    declared: BTreeMap<IpAddr, Vec<u16>>,
}

impl Points {
    /// Walks through an object; `field` is the name of the field that `value` stands in.
    fn collect(&mut self, field: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.collect(name, value);
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.collect(field, item);
                }
            }
            Value::String(text) if matches!(field, "cidr" | "except") => {
                self.others.extend(borders(text));
            }
            Value::String(text) if matches!(field, "ip" | "address") => {
                self.owned.extend(text.parse::<IpAddr>().ok());
            }
            Value::Number(number) if matches!(field, "port" | "endPort" | "containerPort") => {
                let around = number
                    .as_i64()
                    .into_iter()
                    .flat_map(|port| port - 1..=port + 1);
                self.ports
                    .extend(around.filter_map(|port| u16::try_from(port).ok()));
            }
            _ => {}
        }
    }

    fn collect_ports(&mut self, pod: &Pod) {
        let status = pod.status.iter();
        let entries = status.flat_map(|status| status.pod_ips.iter().flatten());
        let spec = pod.spec.iter();
        let containers = spec.flat_map(|spec| {
            let init = spec.init_containers.iter().flatten();
            spec.containers.iter().chain(init)
        });
        let ports: Vec<u16> = containers
            .flat_map(|container| container.ports.iter().flatten())
            .filter_map(|port| u16::try_from(port.container_port).ok())
            .collect();
        for address in entries.filter_map(|entry| entry.ip.parse().ok()) {
            self.declared.entry(address).or_default().extend(&ports);
        }
    }

    fn address(&self, rng: &mut Rng, is_ipv4: bool) -> IpAddr {
        let pool = if rng.chance(75) {
            &self.owned
        } else {
            &self.others
        };
        let family = |pool: &BTreeSet<IpAddr>| -> Vec<IpAddr> {
            pool.iter()
                .copied()
                .filter(|address| address.is_ipv4() == is_ipv4)
                .collect()
        };
        let addresses = family(pool);
        if addresses.is_empty() {
            *rng.pick(&family(&self.others))
        } else {
            *rng.pick(&addresses)
        }
    }

    /// A port to try at `to`.
    fn port(&self, rng: &mut Rng, to: IpAddr) -> FlowPort {
        if rng.chance(8) {
            return FlowPort::Other;
        }
        let declared = self.declared.get(&to).filter(|ports| !ports.is_empty());
        let number = match declared {
            Some(declared) if rng.chance(50) => *rng.pick(declared),
            _ => {
                let ports: Vec<u16> = self.ports.iter().copied().chain([80]).collect();
                *rng.pick(&ports)
            }
        };
        let protocol = match rng.below(10) {
            0..6 => Protocol::Tcp,
            6..8 => Protocol::Udp,
            _ => Protocol::Sctp,
        };
        FlowPort::Port(protocol, number)
    }
}

/// The first and last address of a block, and those just outside.
fn borders(text: &str) -> Vec<IpAddr> {
    let Some(written) = Cidr::parse(text) else {
        return Vec::new();
    };
    match written.cidr.range() {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let (first, last) = (first.to_bits(), last.to_bits());
            [
                first.checked_sub(1),
                Some(first),
                Some(last),
                last.checked_add(1),
            ]
            .into_iter()
            .flatten()
            .map(|bits| Ipv4Addr::from_bits(bits).into())
            .collect()
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            let (first, last) = (first.to_bits(), last.to_bits());
            [
                first.checked_sub(1),
                Some(first),
                Some(last),
                last.checked_add(1),
            ]
            .into_iter()
            .flatten()
            .map(|bits| Ipv6Addr::from_bits(bits).into())
            .collect()
        }
        _ => Vec::new(),
    }
}
