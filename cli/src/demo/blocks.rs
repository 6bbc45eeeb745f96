//! Addresses outside the cluster that are worth trying: at the edges of every written `ipBlock`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policy_core::policy::IpBlock;
use policy_core::{Cidr, Cluster, IpSet};

/// The most addresses of one family.
const MOST: usize = 8;

/// An address of each of the `families` that no block was written for, then one in each block, one in each exception
/// and one beside each block, as far as there is room. None is among `taken`. Sorted.
pub(super) fn addresses(cluster: &Cluster, taken: &IpSet, families: &[bool]) -> Vec<IpAddr> {
    let blocks = blocks(cluster);
    let free = world().difference(taken);
    let unwritten = free.difference(&written(&blocks));
    let mut chosen = BTreeSet::new();
    for &is_v4 in families {
        let mut of_family = Vec::new();
        let stranger = pick(&unwritten.intersection(&documentation()), is_v4);
        of_family.extend(stranger.or_else(|| pick(&unwritten, is_v4)));
        let parts = blocks.iter().map(IpBlock::addresses);
        let excepts = blocks.iter().flat_map(|block| &block.except);
        let excepts = excepts.map(|except| IpSet::from(*except));
        let inside = parts.chain(excepts).map(|part| free.intersection(&part));
        of_family.extend(inside.filter_map(|part| pick(&part, is_v4)));
        let cidrs = blocks.iter().map(|block| &block.cidr);
        of_family.extend(cidrs.filter_map(|cidr| beside(&free, cidr, is_v4)));
        let mut known = BTreeSet::new();
        of_family.retain(|address| known.insert(*address));
        chosen.extend(of_family.into_iter().take(MOST));
    }
    chosen.into_iter().collect()
}

fn blocks(cluster: &Cluster) -> BTreeSet<IpBlock> {
    let policies = cluster.policies().values();
    policies
        .flat_map(|policy| policy.blocks())
        .cloned()
        .collect()
}

/// The addresses of all blocks that are not about the whole world.
fn written(blocks: &BTreeSet<IpBlock>) -> IpSet {
    let cidrs = blocks.iter().map(|block| block.cidr);
    cidrs.filter(|cidr| cidr.prefix() > 0).collect()
}

/// What an address outside a cluster can be: not loopback, link-local, multicast or reserved.
fn world() -> IpSet {
    let wide = [
        v4([1, 0, 0, 0], 8),
        v4([2, 0, 0, 0], 7),
        v4([4, 0, 0, 0], 6),
        v4([8, 0, 0, 0], 5),
        v4([16, 0, 0, 0], 4),
        v4([32, 0, 0, 0], 3),
        v4([64, 0, 0, 0], 2),
        v4([128, 0, 0, 0], 2),
        v4([192, 0, 0, 0], 3),
        v6(0x2000, 0, 3),
        v6(0xfc00, 0, 7),
    ];
    let special = [v4([127, 0, 0, 0], 8), v4([169, 254, 0, 0], 16)];
    let special: IpSet = special.into_iter().collect();
    wide.into_iter().collect::<IpSet>().difference(&special)
}

/// Networks for examples, which nobody has.
fn documentation() -> IpSet {
    let networks = [v4([203, 0, 113, 0], 24), v6(0x2001, 0xdb8, 32)];
    let edges: IpSet = networks.iter().map(|network| network.range().0).collect();
    networks.into_iter().collect::<IpSet>().difference(&edges)
}

fn v4(bytes: [u8; 4], prefix: u8) -> Cidr {
    Cidr::new(Ipv4Addr::from(bytes).into(), prefix)
}

fn v6(first: u16, second: u16, prefix: u8) -> Cidr {
    Cidr::new(
        Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0).into(),
        prefix,
    )
}

/// The first address of a family.
fn pick(set: &IpSet, is_v4: bool) -> Option<IpAddr> {
    ranges(set, is_v4).map(|(first, _)| first).next()
}

/// The free address nearest behind the network, or else nearest before it.
fn beside(free: &IpSet, network: &Cidr, is_v4: bool) -> Option<IpAddr> {
    let (first, last) = network.range();
    if first.is_ipv4() != is_v4 {
        return None;
    }
    let outside = free.difference(&IpSet::from(*network));
    let behind = ranges(&outside, is_v4).map(|(start, _)| start);
    let before = ranges(&outside, is_v4).map(|(_, end)| end);
    behind
        .filter(|start| *start > last)
        .min()
        .or_else(|| before.filter(|end| *end < first).max())
}

fn ranges(set: &IpSet, is_v4: bool) -> impl Iterator<Item = (IpAddr, IpAddr)> {
    set.ranges()
        .filter(move |(first, _)| first.is_ipv4() == is_v4)
}
