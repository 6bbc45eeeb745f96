//! Few words for many pods and many addresses.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::range_set::{Point, RangeSet};
use policy_core::{Cidr, IpSet, PodId};

use crate::inventory::{OTHER_NAMESPACE, Standing};

/// The pods that names are chosen among.
pub(super) struct Words<'a> {
    pods: &'a [(PodId, Standing)],
    /// The positions of each namespace's pods.
    namespaces: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> Words<'a> {
    pub(super) fn new(pods: &'a [(PodId, Standing)]) -> Self {
        let mut namespaces: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, (id, _)) in pods.iter().enumerate() {
            namespaces.entry(&id.namespace).or_default().push(index);
        }
        Self { pods, namespaces }
    }

    /// The pods at these positions (sorted): `every pod`, `all of shop`, `shop/web`.
    pub(super) fn pods(&self, wanted: &[usize]) -> Vec<String> {
        if wanted.len() == self.pods.len() {
            return vec!["every pod".to_owned()];
        }
        let listed = self.listed(wanted);
        let chosen: BTreeSet<usize> = wanted.iter().copied().collect();
        let rest: Vec<usize> = (0..self.pods.len())
            .filter(|pod| !chosen.contains(pod))
            .collect();
        // Leaving out is only shorter where new namespaces are among those that are meant.
        let has_others = self.namespaces.get(OTHER_NAMESPACE);
        let has_others = has_others.is_some_and(|pods| pods.iter().all(|pod| chosen.contains(pod)));
        let left_out = self.listed(&rest);
        if has_others && left_out.len() < listed.len() {
            return vec![format!("every pod but {}", left_out.join(", "))];
        }
        listed
    }

    fn listed(&self, wanted: &[usize]) -> Vec<String> {
        let mut by_namespace: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for &pod in wanted {
            let namespace = &*self.pods[pod].0.namespace;
            by_namespace.entry(namespace).or_default().push(pod);
        }
        let mut words = Vec::new();
        for (namespace, pods) in by_namespace {
            if pods.len() == self.namespaces[namespace].len() {
                words.push(if namespace == OTHER_NAMESPACE {
                    "all other namespaces".to_owned()
                } else {
                    format!("all of {namespace}")
                });
                continue;
            }
            words.extend(pods.into_iter().map(|pod| self.pod(pod)));
        }
        words
    }

    fn pod(&self, pod: usize) -> String {
        let (id, standing) = &self.pods[pod];
        match standing {
            Standing::Appeared => format!("{id} (new)"),
            Standing::Known | Standing::Possible => id.to_string(),
        }
    }
}

/// The addresses, as the fewest blocks: `any address`, `10.0.0.0/8 except 10.1.0.0/16`.
pub(super) fn addresses(addresses: &IpSet) -> Vec<String> {
    let (v4, v6) = (addresses.v4.is_full(), addresses.v6.is_full());
    if v4 && v6 {
        return vec!["any address".to_owned()];
    }
    let only = |v4: RangeSet<u32>, v6: RangeSet<u128>| IpSet { v4, v6 };
    let mut words = Vec::new();
    if v4 {
        words.push("any IPv4 address".to_owned());
    } else {
        let hull = hull(&addresses.v4);
        let around = only(hull, RangeSet::empty());
        words.extend(blocks(
            &only(addresses.v4.clone(), RangeSet::empty()),
            &around,
        ));
    }
    if v6 {
        words.push("any IPv6 address".to_owned());
    } else {
        let hull = hull(&addresses.v6);
        let around = only(RangeSet::empty(), hull);
        words.extend(blocks(
            &only(RangeSet::empty(), addresses.v6.clone()),
            &around,
        ));
    }
    words
}

/// From the first to the last number of a set.
fn hull<T: Point>(set: &RangeSet<T>) -> RangeSet<T> {
    match (set.ranges().first(), set.ranges().last()) {
        (Some((first, _)), Some((_, last))) => RangeSet::range(*first, *last),
        _ => RangeSet::empty(),
    }
}

/// The set's blocks, or the one block around it and what it leaves out, whichever is shorter.
fn blocks(set: &IpSet, hull: &IpSet) -> Vec<String> {
    let blocks: Vec<String> = set.cidrs().iter().map(Cidr::to_string).collect();
    let Some(around) = around(hull) else {
        return blocks;
    };
    let excepted = IpSet::from(around).difference(set).cidrs();
    if excepted.is_empty() || excepted.len() + 1 >= blocks.len() {
        return blocks;
    }
    let excepted: Vec<String> = excepted.iter().map(Cidr::to_string).collect();
    vec![format!("{around} except {}", excepted.join(", "))]
}

/// The smallest block around a range.
fn around(range: &IpSet) -> Option<Cidr> {
    let (first, last) = range.ranges().next()?;
    let width = if first.is_ipv4() { 32 } else { 128 };
    let candidates = (0..=width).rev().map(|prefix| Cidr::new(first, prefix));
    let mut containing = candidates.filter(|block| IpSet::from(*block).contains(last));
    containing.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(blocks: &[&str]) -> IpSet {
        blocks
            .iter()
            .map(|block| Cidr::parse(block).unwrap().cidr)
            .collect()
    }

    #[test]
    fn addresses_are_told_by_the_shorter_of_what_is_in_and_what_is_out() {
        assert_eq!(addresses(&IpSet::full()), ["any address"]);
        assert_eq!(addresses(&set(&["0.0.0.0/0"])), ["any IPv4 address"]);
        let blocks = ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"];
        assert_eq!(addresses(&set(&blocks)), blocks);
        let hole = set(&["0.0.0.0/0"]).difference(&set(&["10.0.0.0/8"]));
        assert_eq!(addresses(&hole), ["0.0.0.0/0 except 10.0.0.0/8"]);
        let hole = set(&["10.0.0.0/8", "::/0"]).difference(&set(&["10.255.3.0/24"]));
        assert_eq!(
            addresses(&hole),
            ["10.0.0.0/8 except 10.255.3.0/24", "any IPv6 address"]
        );
    }

    #[test]
    fn whole_namespaces_are_one_word() {
        let pod = |namespace, name| (PodId::new(namespace, name), Standing::Known);
        let pods = [
            pod("[other]", "[other]"),
            pod("a", "[other]"),
            pod("a", "x"),
            pod("b", "y"),
            pod("b", "z"),
        ];
        let words = Words::new(&pods);
        assert_eq!(words.pods(&[0, 1, 2, 3, 4]), ["every pod"]);
        assert_eq!(words.pods(&[1, 2, 4]), ["all of a", "b/z"]);
        assert_eq!(words.pods(&[0, 1, 2, 3]), ["every pod but b/z"]);
        assert_eq!(words.pods(&[2, 3, 4]), ["a/x", "all of b"]);
    }
}
