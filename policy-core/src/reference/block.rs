//! An `ipBlock`, bit by bit: a block holds an address whose first bits are the block's.

use k8s_openapi::api::networking::v1::IPBlock;
use std::net::IpAddr;

/// The leading bits that a block's addresses share.
struct Network {
    is_ipv4: bool,
    bits: Vec<bool>,
}

/// Whether the block holds the address; `None` when the block is not understood.
pub(super) fn contains(block: &IPBlock, address: IpAddr) -> Option<bool> {
    let cidr = network(&block.cidr)?;
    let except: Option<Vec<Network>> = block
        .except
        .iter()
        .flatten()
        .map(|text| network(text).filter(|except| is_strictly_inside(except, &cidr)))
        .collect();
    let is_excepted = except?.iter().any(|except| holds(except, address));
    Some(holds(&cidr, address) && !is_excepted)
}

fn is_strictly_inside(inner: &Network, outer: &Network) -> bool {
    inner.is_ipv4 == outer.is_ipv4
        && inner.bits.len() > outer.bits.len()
        && inner.bits.starts_with(&outer.bits)
}

fn holds(network: &Network, address: IpAddr) -> bool {
    network.is_ipv4 == address.is_ipv4() && bits_of(address).starts_with(&network.bits)
}

/// Reads `address/prefix`. Host bits are dropped, leading zeros are decimal, and an IPv4-mapped network is its IPv4
/// network (15).
fn network(text: &str) -> Option<Network> {
    let (address, length) = text.split_once('/')?;
    let length = number(length)?;
    let address = match address.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => zero_padded(address)?,
    };
    let bits = bits_of(address).get(..length)?.to_vec();
    let mapped = bits_of("::ffff:0.0.0.0".parse().ok()?)[..96].to_vec();
    if address.is_ipv6() && bits.starts_with(&mapped) {
        Some(Network {
            is_ipv4: true,
            bits: bits[96..].to_vec(),
        })
    } else {
        Some(Network {
            is_ipv4: address.is_ipv4(),
            bits,
        })
    }
}

fn zero_padded(text: &str) -> Option<IpAddr> {
    let parts: Option<Vec<u8>> = text
        .split('.')
        .map(|part| u8::try_from(number(part)?).ok())
        .collect();
    let octets: [u8; 4] = parts?.try_into().ok()?;
    Some(octets.into())
}

/// Digits and nothing else.
fn number(text: &str) -> Option<usize> {
    if text.chars().all(|character| character.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

fn bits_of(address: IpAddr) -> Vec<bool> {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let bits_of_octet = |octet: u8| (0..8).rev().map(move |bit| octet >> bit & 1 == 1);
    octets.into_iter().flat_map(bits_of_octet).collect()
}
