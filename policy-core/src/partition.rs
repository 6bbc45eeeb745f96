//! Cuts overlapping address sets into disjoint ones, each with everything that is admitted there.

use crate::ip_set::IpSet;
use crate::port_set::PortSet;
use crate::range_set::{Point, RangeSet};
use std::collections::{BTreeMap, BTreeSet};

/// Addresses, what is admitted there, and where that comes from.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) addresses: IpSet,
    pub(crate) ports: PortSet,
    pub(crate) grants: BTreeSet<u32>,
}

/// The same permissions on disjoint address sets, one for each distinct port set, in the order of the port sets.
/// Costs O(n log n) in the number of ranges, times the depth to which they overlap.
pub(crate) fn partition(pieces: &[Piece]) -> Vec<Piece> {
    let v4 = cut(pieces.iter().map(|piece| &piece.addresses.v4));
    let v6 = cut(pieces.iter().map(|piece| &piece.addresses.v6));
    let mut covers: BTreeMap<Vec<u32>, IpSet> = BTreeMap::new();
    for (cover, v4) in v4 {
        covers.entry(cover).or_default().v4 = v4;
    }
    for (cover, v6) in v6 {
        covers.entry(cover).or_default().v6 = v6;
    }
    let mut by_ports: BTreeMap<PortSet, (Vec<IpSet>, BTreeSet<u32>)> = BTreeMap::new();
    for (cover, addresses) in covers {
        let covering = || cover.iter().map(|&piece| &pieces[piece as usize]);
        let ports = covering().fold(PortSet::empty(), |ports, piece| ports.union(&piece.ports));
        let entry = by_ports.entry(ports).or_default();
        entry.0.push(addresses);
        entry.1.extend(covering().flat_map(|piece| &piece.grants));
    }
    by_ports
        .into_iter()
        .map(|(ports, (parts, grants))| Piece {
            addresses: join(parts.iter()),
            ports,
            grants,
        })
        .collect()
}

/// The union of many sets, sorted once.
pub(crate) fn join<'a>(parts: impl Iterator<Item = &'a IpSet> + Clone) -> IpSet {
    IpSet {
        v4: parts
            .clone()
            .flat_map(|part| part.v4.ranges())
            .copied()
            .collect(),
        v6: parts.flat_map(|part| part.v6.ranges()).copied().collect(),
    }
}

/// For each combination of sets that have addresses in common, the addresses that are in exactly these.
fn cut<'a, T: Point + 'a>(
    sets: impl Iterator<Item = &'a RangeSet<T>>,
) -> BTreeMap<Vec<u32>, RangeSet<T>> {
    let mut starts: Vec<(T, u32)> = Vec::new();
    let mut ends: Vec<(T, u32)> = Vec::new();
    for (number, set) in (0..).zip(sets) {
        for &(first, last) in set.ranges() {
            starts.push((first, number));
            ends.push((last, number));
        }
    }
    starts.sort_unstable();
    ends.sort_unstable();
    let (mut starts, mut ends) = (starts.into_iter().peekable(), ends.into_iter().peekable());
    let mut covers: BTreeMap<Vec<u32>, Vec<(T, T)>> = BTreeMap::new();
    let mut open: BTreeSet<u32> = BTreeSet::new();
    let mut from = T::MIN;
    while let Some(&(end, _)) = ends.peek() {
        let start = starts
            .peek()
            .map(|&(start, _)| start)
            .filter(|&start| start <= end);
        let to = start.map_or(Some(end), Point::previous);
        if let Some(to) = to.filter(|&to| from <= to && !open.is_empty()) {
            covers
                .entry(open.iter().copied().collect())
                .or_default()
                .push((from, to));
        }
        if let Some(start) = start {
            while let Some((_, set)) = starts.next_if(|next| next.0 == start) {
                open.insert(set);
            }
            from = start;
        } else {
            while let Some((_, set)) = ends.next_if(|next| next.0 == end) {
                open.remove(&set);
            }
            let Some(next) = end.next() else { break };
            from = next;
        }
    }
    covers
        .into_iter()
        .map(|(cover, ranges)| (cover, ranges.into_iter().collect()))
        .collect()
}
