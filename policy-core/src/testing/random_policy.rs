//! Random policies of every shape that the API has, and now and then of one that it has not.

use super::Rng;
use super::random_cluster::{LABELS, NAMESPACES, PORT_NAMES, PORT_NUMBERS, PROTOCOLS};
use crate::policy::MODE_ANNOTATION;
use serde_json::{Value, json};

/// How many pieces in a hundred are such that nobody understands them.
const FAULTS: usize = 2;

/// Policy number `index`.
pub(super) fn policy(rng: &mut Rng, index: usize) -> Value {
    // Beside the sequence of the others, so that every seed still gives the pods and rules that it gave.
    let mode = mode(&mut Rng::new(rng.clone().bits()));
    let mut spec = json!({});
    match rng.below(10) {
        0 => {}
        1..4 => spec["podSelector"] = json!({}),
        _ => spec["podSelector"] = selector(rng),
    }
    if rng.chance(65) {
        let types: &[&str] = match rng.below(12) {
            0 => &[],
            1..4 => &["Ingress"],
            4..7 => &["Egress"],
            7..11 => &["Ingress", "Egress"],
            _ => &["Egress", "Egress"],
        };
        spec["policyTypes"] = json!(types);
    }
    for (field, peers) in [("ingress", "from"), ("egress", "to")] {
        if let Some(rules) = list(rng, |rng| rule(rng, peers)) {
            spec[field] = rules;
        }
    }
    if rng.chance(FAULTS) {
        spec["policyTypes"] = json!(["Ingress", "egress"]);
    }
    if rng.chance(FAULTS) {
        spec["ingres"] = json!([]);
    }
    let mut policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "namespace": rng.pick(&NAMESPACES), "name": format!("policy-{index}") },
        "spec": spec,
    });
    if let Some(mode) = mode {
        policy["metadata"]["annotations"] = json!({ MODE_ANNOTATION: mode });
    }
    policy
}

/// Now and then `audit`, `enforce`, or what is neither.
pub(super) fn mode(rng: &mut Rng) -> Option<Value> {
    match rng.below(20) {
        0..4 => Some(json!("audit")),
        4 => Some(json!("enforce")),
        5 => Some(rng.pick(&[json!("Audit"), json!(""), json!("off")]).clone()),
        _ => None,
    }
}

/// Absent, empty, or one to three entries.
fn list(rng: &mut Rng, mut entry: impl FnMut(&mut Rng) -> Value) -> Option<Value> {
    let count = match rng.below(20) {
        0..3 => return None,
        3 => 0,
        4..12 => 1,
        12..17 => 2,
        _ => 3,
    };
    Some((0..count).map(|_| entry(rng)).collect())
}

fn rule(rng: &mut Rng, peers: &str) -> Value {
    if rng.chance(FAULTS) {
        return rng
            .pick(&[
                json!("all"),
                json!({ peers: "everyone" }),
                json!({ "action": "Allow" }),
                json!({ peers: [{ "podSelector": {}, "cidr": "10.0.0.0/8" }] }),
                json!({ "ports": [{ "port": 80.5 }] }),
                json!({ "ports": [{ "port": 80 }, "TCP"] }),
            ])
            .clone();
    }
    let mut rule = json!({});
    if let Some(entries) = list(rng, peer) {
        rule[peers] = entries;
    }
    if rng.chance(60)
        && let Some(ports) = list(rng, port)
    {
        rule["ports"] = ports;
    }
    rule
}

fn peer(rng: &mut Rng) -> Value {
    if rng.chance(FAULTS) {
        return rng
            .pick(&[
                json!({}),
                json!({ "podSelector": {}, "ipBlock": { "cidr": "10.0.0.0/8" } }),
                json!({ "podSelector": { "matchExpressions": [{ "key": "app", "operator": "Equals", "values": ["web"] }] } }),
                json!({ "namespaceSelector": { "matchLabels": { "-team": "red" } } }),
                json!({ "ipBlock": { "cidr": "10.0.0.0" } }),
                json!({ "ipBlock": { "cidr": "10.0.0.0/8", "except": ["192.168.0.0/16"] } }),
                json!({ "ipBlock": { "cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"] } }),
            ])
            .clone();
    }
    match rng.below(10) {
        0..3 => json!({ "podSelector": selector(rng) }),
        3..5 => json!({ "namespaceSelector": namespace_selector(rng) }),
        5..7 => {
            json!({ "namespaceSelector": namespace_selector(rng), "podSelector": selector(rng) })
        }
        _ => json!({ "ipBlock": ip_block(rng) }),
    }
}

fn namespace_selector(rng: &mut Rng) -> Value {
    if rng.chance(30) {
        json!({ "matchLabels": { "kubernetes.io/metadata.name": rng.pick(&NAMESPACES) } })
    } else {
        selector(rng)
    }
}

fn selector(rng: &mut Rng) -> Value {
    if rng.chance(FAULTS) {
        let label = rng.pick(&["web", "db"]);
        return rng
            .pick(&[
                json!({ "labels": { "app": label } }),
                json!({ "matchLabels": { "app": label, "tier": true } }),
                json!({ "matchLabels": { "app": label, "tier": "front " } }),
            ])
            .clone();
    }
    let mut selector = json!({});
    if rng.chance(50) {
        let (key, values) = rng.pick(&LABELS);
        selector["matchLabels"] = json!({ *key: rng.pick(values) });
    }
    if rng.chance(40) {
        let count = 1 + rng.below(2);
        selector["matchExpressions"] = (0..count).map(|_| expression(rng)).collect();
    }
    selector
}

fn expression(rng: &mut Rng) -> Value {
    let (key, values) = *rng.pick(&LABELS);
    let faulty = rng.chance(FAULTS);
    let operator = *rng.pick(&["In", "NotIn", "Exists", "DoesNotExist"]);
    let takes_values = matches!(operator, "In" | "NotIn");
    if takes_values == faulty {
        return json!({ "key": key, "operator": operator });
    }
    let count = 1 + rng.below(2);
    let values: Vec<&str> = (0..count).map(|_| *rng.pick(values)).collect();
    json!({ "key": key, "operator": operator, "values": values })
}

/// A block around an address that matters, and blocks carved out of it.
fn ip_block(rng: &mut Rng) -> Value {
    let number = 8 + rng.below(32);
    let place = 1 + rng.below(2);
    let (address, width): (u128, u32) = match rng.below(8) {
        0..4 => (0x0a00_0000 | as_bits(place) << 8 | as_bits(number), 32),
        4 => (0xc0a8_0000 | as_bits(place), 32),
        5 => (0xc633_6400 | as_bits(number), 32),
        6 => (
            0xfd00_0010_0000_0000_u128 << 64 | as_bits(place) << 64 | as_bits(number),
            128,
        ),
        _ => (0xfd00_0192_u128 << 96 | as_bits(place), 128),
    };
    let prefix = match rng.below(10) {
        0 => 0,
        1 => width - 24,
        2..4 => width - 8,
        _ => width - u32::try_from(rng.below(6)).expect("less than 6"),
    };
    let mut block = json!({ "cidr": cidr(rng, address, prefix, width) });
    if rng.chance(40) && prefix < width {
        let count = 1 + rng.below(2);
        let except = (0..count).map(|_| {
            let host_bits = width - prefix;
            let flipped = u128::from(rng.bits()) & mask(host_bits.min(5));
            let longer = 1 + u32::try_from(rng.below(8)).expect("less than 8");
            let prefix = (prefix + longer).max(width - 5).min(width);
            cidr(rng, address ^ flipped, prefix, width)
        });
        block["except"] = except.collect();
    }
    block
}

/// The network as text; now and then with its host bits left in, padded with zeros, or IPv4-mapped.
fn cidr(rng: &mut Rng, address: u128, prefix: u32, width: u32) -> String {
    let network = address & !mask(width - prefix);
    match (width, rng.below(60)) {
        (32, 0) => format!("{}/{prefix}", v4(address)),
        (32, 1) => format!("::ffff:{}/{}", v4(network), prefix + 96),
        (32, 2) => {
            let octets = v4(network).octets().map(|octet| format!("{octet:03}"));
            format!("{}/{prefix}", octets.join("."))
        }
        (32, _) => format!("{}/{prefix}", v4(network)),
        (_, 0) => format!("{}/{prefix}", std::net::Ipv6Addr::from_bits(address)),
        _ => format!("{}/{prefix}", std::net::Ipv6Addr::from_bits(network)),
    }
}

fn v4(bits: u128) -> std::net::Ipv4Addr {
    std::net::Ipv4Addr::from_bits(u32::try_from(bits).expect("32 bits"))
}

fn mask(bits: u32) -> u128 {
    1_u128.checked_shl(bits).map_or(u128::MAX, |next| next - 1)
}

fn as_bits(number: usize) -> u128 {
    number.try_into().expect("128 bits hold a usize")
}

fn port(rng: &mut Rng) -> Value {
    if rng.chance(FAULTS) {
        return rng
            .pick(&[
                json!({ "protocol": "ICMP" }),
                json!({ "protocol": "tcp", "port": 80 }),
                json!({ "port": 0 }),
                json!({ "port": "80" }),
                json!({ "port": 443, "endPort": 80 }),
                json!({ "port": "http", "endPort": 90 }),
                json!({ "endPort": 90 }),
            ])
            .clone();
    }
    let mut port = json!({});
    match rng.below(10) {
        0 => {}
        1..5 => port["port"] = json!(rng.pick(&PORT_NAMES)),
        5..8 => port["port"] = json!(rng.pick(&PORT_NUMBERS)),
        _ => {
            let (a, b) = (*rng.pick(&PORT_NUMBERS), *rng.pick(&PORT_NUMBERS));
            port["port"] = json!(a.min(b));
            port["endPort"] = json!(a.max(b));
        }
    }
    if rng.chance(50) {
        port["protocol"] = json!(rng.pick(&PROTOCOLS));
    }
    port
}
