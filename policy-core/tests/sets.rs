//! The set algebra against plain models: a set of numbers is a row of yes and no.

use policy_core::range_set::RangeSet;
use policy_core::{Cidr, FlowPort, IpSet, PortSet, Protocol};
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

type Ranges = Vec<(u8, u8)>;

fn ranges() -> impl Strategy<Value = Ranges> {
    vec(any::<(u8, u8)>(), 0..6)
}

fn set(ranges: &Ranges) -> RangeSet<u8> {
    ranges.iter().copied().collect()
}

fn model(ranges: &Ranges) -> Vec<bool> {
    (0..=255)
        .map(|point| {
            ranges
                .iter()
                .any(|&(first, last)| first <= point && point <= last)
        })
        .collect()
}

fn points(set: &RangeSet<u8>) -> Vec<bool> {
    (0..=255).map(|point| set.contains(point)).collect()
}

fn zip(a: &[bool], b: &[bool], combine: impl Fn(bool, bool) -> bool) -> Vec<bool> {
    a.iter().zip(b).map(|(&a, &b)| combine(a, b)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn range_sets_combine_like_rows_of_booleans(a in ranges(), b in ranges()) {
        let (x, y) = (set(&a), set(&b));
        let (a, b) = (model(&a), model(&b));
        prop_assert_eq!(points(&x), a.clone());
        prop_assert_eq!(points(&x.union(&y)), zip(&a, &b, |a, b| a || b));
        prop_assert_eq!(points(&x.intersection(&y)), zip(&a, &b, |a, b| a && b));
        prop_assert_eq!(points(&x.difference(&y)), zip(&a, &b, |a, b| a && !b));
        prop_assert_eq!(points(&x.complement()), zip(&a, &a, |a, _| !a));
        prop_assert_eq!(x.contains_all(&y), zip(&a, &b, |a, b| a || !b).iter().all(|&held| held));
        prop_assert_eq!(x.is_empty(), !a.contains(&true));
        prop_assert_eq!(x.is_full(), !a.contains(&false));
    }

    #[test]
    fn equal_range_sets_are_equal_values(a in ranges(), b in ranges()) {
        let results = [set(&a).union(&set(&b)), set(&a).difference(&set(&b)), set(&a).complement()];
        for result in results {
            let single_points: RangeSet<u8> =
                (0..=255).filter(|&point| result.contains(point)).map(|point| (point, point)).collect();
            prop_assert_eq!(&result, &single_points);
            let apart = |pair: &[(u8, u8)]| u16::from(pair[0].1) + 1 < u16::from(pair[1].0);
            prop_assert!(result.ranges().windows(2).all(apart));
        }
    }
}

/// Sixteen IPv4 and sixteen IPv6 addresses, the last of their families among them.
fn universe() -> Vec<IpAddr> {
    let v4 = (0..16).map(|low| Ipv4Addr::from_bits(u32::MAX - 15 + low).into());
    let v6 = (0..16).map(|low| Ipv6Addr::from_bits(u128::MAX - 15 + low).into());
    v4.chain(v6).collect()
}

fn ip_set(bits: u32) -> IpSet {
    let chosen = universe()
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 == 1);
    chosen.map(|(_, address)| address).collect()
}

fn ip_bits(set: &IpSet) -> u32 {
    let held = universe()
        .into_iter()
        .map(|address| u32::from(set.contains(address)));
    held.enumerate().map(|(bit, held)| held << bit).sum()
}

/// The number of aligned blocks that 16 points need: a block for the whole, or what its halves need.
fn fewest_blocks(bits: &[bool]) -> usize {
    if bits.iter().all(|&held| held) {
        1
    } else if bits.len() == 1 {
        0
    } else {
        let (low, high) = bits.split_at(bits.len() / 2);
        fewest_blocks(low) + fewest_blocks(high)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn address_sets_combine_like_bits(a: u32, b: u32) {
        let (x, y) = (ip_set(a), ip_set(b));
        prop_assert_eq!(ip_bits(&x), a);
        prop_assert_eq!(x.union(&y), ip_set(a | b));
        prop_assert_eq!(x.intersection(&y), ip_set(a & b));
        prop_assert_eq!(x.difference(&y), ip_set(a & !b));
        prop_assert_eq!(x.contains_all(&y), b & !a == 0);
        prop_assert_eq!(x.is_empty(), a == 0);
    }

    #[test]
    fn an_address_set_is_the_fewest_blocks_that_make_it_up(bits: u32) {
        let set = ip_set(bits);
        let blocks = set.cidrs();
        let together = blocks.iter().fold(IpSet::empty(), |set, &cidr| set.union(&cidr.into()));
        prop_assert_eq!(together, set);
        let held: Vec<bool> = (0..32).map(|bit| bits >> bit & 1 == 1).collect();
        prop_assert_eq!(blocks.len(), fewest_blocks(&held[..16]) + fewest_blocks(&held[16..]));
    }

    #[test]
    fn a_printed_cidr_reads_as_itself(bits: u128, is_ipv4: bool, prefix in 0..=128_u8) {
        let cidr = if is_ipv4 {
            let low = u32::try_from(bits >> 96).unwrap();
            Cidr::new(Ipv4Addr::from_bits(low).into(), prefix % 33)
        } else {
            Cidr::new(Ipv6Addr::from_bits(bits).into(), prefix)
        };
        let read = Cidr::parse(&cidr.to_string());
        prop_assert_eq!(read.map(|read| (read.cidr, read.legacy)), Some((cidr, false)));
    }
}

#[test]
fn whole_families_are_one_block_each() {
    let cidrs: Vec<String> = IpSet::full()
        .cidrs()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(cidrs, ["0.0.0.0/0", "::/0"]);
}

#[test]
fn cidrs_are_read_strictly_or_by_their_older_spelling() {
    let strict = [
        "10.0.0.0/24",
        "0.0.0.0/0",
        "10.0.0.7/32",
        "fd00::/8",
        "::/0",
        "2001:db8::1/128",
    ];
    for text in strict {
        let read = Cidr::parse(text).unwrap();
        assert_eq!((read.cidr.to_string().as_str(), read.legacy), (text, false));
    }
    let legacy = [
        ("10.0.0.7/24", "10.0.0.0/24"),
        ("010.000.000.000/8", "10.0.0.0/8"),
        ("10.0.0.0/08", "10.0.0.0/8"),
        ("010.0.0.7/24", "10.0.0.0/24"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.0.0.7/120", "10.0.0.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("fd00::1/8", "fd00::/8"),
        ("1.2.3.4/0", "0.0.0.0/0"),
    ];
    for (text, canonical) in legacy {
        let read = Cidr::parse(text).unwrap();
        assert_eq!(
            (read.cidr.to_string().as_str(), read.legacy),
            (canonical, true),
            "{text}"
        );
    }
    let refused = [
        "",
        "/",
        "10.0.0.0",
        "10.0.0.0/",
        "/8",
        "10.0.0.0/33",
        "::/129",
        "10.0.0/8",
        "10.0.0.0.0/8",
        "10.0.0.256/8",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/+8",
        "10.0.0.0/-1",
        " 10.0.0.0/8",
        "10.0.0.0/8 ",
        "10.0.0.0/8/8",
        "0x0a.0.0.0/8",
        "fd00::%eth0/64",
        "all",
        "fd00:::/8",
    ];
    for text in refused {
        assert!(Cidr::parse(text).is_none(), "{text:?}");
    }
}

#[derive(Debug, Clone, Copy)]
struct PortModel([u16; 3], bool);

/// Sixteen ports of each protocol at the upper end, and the other protocols.
fn port_set(model: PortModel) -> PortSet {
    let mut set = if model.1 {
        let all = PortSet::all();
        Protocol::ALL.iter().fold(all, |set, &protocol| {
            set.difference(&PortSet::range(protocol, 0, u16::MAX))
        })
    } else {
        PortSet::empty()
    };
    for (protocol, bits) in Protocol::ALL.into_iter().zip(model.0) {
        for port in (0..16).filter(|port| bits >> port & 1 == 1) {
            let port = u16::MAX - 15 + port;
            set = set.union(&PortSet::range(protocol, port, port));
        }
    }
    set
}

fn port_model() -> impl Strategy<Value = PortModel> {
    any::<([u16; 3], bool)>().prop_map(|(ports, other)| PortModel(ports, other))
}

fn combine(a: PortModel, b: PortModel, bits: fn(u16, u16) -> u16) -> PortModel {
    let ports = [0, 1, 2].map(|protocol| bits(a.0[protocol], b.0[protocol]));
    PortModel(ports, bits(a.1.into(), b.1.into()) & 1 == 1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn port_sets_combine_like_bits(a in port_model(), b in port_model(), port in 0..16_u16) {
        let (x, y) = (port_set(a), port_set(b));
        prop_assert_eq!(x.union(&y), port_set(combine(a, b, |a, b| a | b)));
        prop_assert_eq!(x.intersection(&y), port_set(combine(a, b, |a, b| a & b)));
        prop_assert_eq!(x.difference(&y), port_set(combine(a, b, |a, b| a & !b)));
        prop_assert_eq!(x.contains_all(&y), port_set(combine(b, a, |b, a| b & !a)).is_empty());
        prop_assert_eq!(x.contains(FlowPort::Other), a.1);
        for (protocol, bits) in Protocol::ALL.into_iter().zip(a.0) {
            let number = u16::MAX - 15 + port;
            prop_assert_eq!(x.contains(FlowPort::Port(protocol, number)), bits >> port & 1 == 1);
        }
    }
}

#[test]
fn every_port_is_all_ports_and_every_other_protocol() {
    let every_port = Protocol::ALL
        .iter()
        .fold(PortSet::empty(), |set, &protocol| {
            set.union(&PortSet::range(protocol, 0, u16::MAX))
        });
    assert!(!every_port.is_all());
    assert!(PortSet::all().contains_all(&every_port));
    let rest = PortSet::all().difference(&every_port);
    assert!(rest.allows_other() && every_port.union(&rest).is_all());
}
