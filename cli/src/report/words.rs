//! Few words for many pods and many addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use policy_core::range_set::RangeSet;
use policy_core::{Cidr, IpSet, PodId};

use crate::inventory::{OTHER_NAMESPACE, Standing};

/// The pods that names are chosen among.
pub(crate) struct Words<'a> {
    pods: &'a [(PodId, Standing)],
    /// The positions of each namespace's pods.
    namespaces: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> Words<'a> {
    pub(crate) fn new(pods: &'a [(PodId, Standing)]) -> Self {
        let mut namespaces: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, (id, _)) in pods.iter().enumerate() {
            namespaces.entry(&id.namespace).or_default().push(index);
        }
        Self { pods, namespaces }
    }

    /// The pods at these positions (sorted): `every pod`, `all of shop`, `shop/web`.
    pub(crate) fn pods(&self, wanted: &[usize]) -> Vec<String> {
        if wanted.len() == self.pods.len() {
            return vec!["every pod".to_owned()];
        }
        let listed = self.listed(wanted);
        // Leaving out is only shorter where new namespaces are among those that are meant.
        let others = self.namespaces.get(OTHER_NAMESPACE);
        let is_wanted = |pod: &usize| wanted.binary_search(pod).is_ok();
        if !others.is_some_and(|pods| pods.iter().all(is_wanted)) {
            return listed;
        }
        let rest: Vec<usize> = (0..self.pods.len()).filter(|pod| !is_wanted(pod)).collect();
        let left_out = self.listed(&rest);
        if left_out.len() < listed.len() {
            return vec![format!("every pod but {}", left_out.join(", "))];
        }
        listed
    }

    /// The same without leaving out, so that one more pod changes as few words as can be.
    pub(crate) fn listed(&self, wanted: &[usize]) -> Vec<String> {
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

    /// The pods at these positions, all of which are among `some` (both sorted), as if there were no others: `every pod`
    /// stands for all of `some`, `all of shop` for those of them in `shop`.
    pub(crate) fn among(&self, wanted: &[usize], some: &[usize]) -> Vec<String> {
        let of = |all: &[usize]| {
            let mut found: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            for &pod in all {
                found
                    .entry(&self.pods[pod].0.namespace)
                    .or_default()
                    .push(pod);
            }
            found
        };
        if wanted.len() == some.len() && wanted.len() > 1 {
            return vec!["every pod".to_owned()];
        }
        let whole = of(some);
        let mut words = Vec::new();
        for (namespace, pods) in of(wanted) {
            if pods.len() > 1 && pods.len() == whole[namespace].len() {
                words.push(format!("all of {namespace}"));
            } else {
                words.extend(pods.into_iter().map(|pod| self.pod(pod)));
            }
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
pub(crate) fn addresses(addresses: &IpSet) -> Vec<String> {
    let (v4, v6) = (addresses.v4.is_full(), addresses.v6.is_full());
    if v4 && v6 {
        return vec!["any address".to_owned()];
    }
    let mut words = Vec::new();
    if v4 {
        words.push("any IPv4 address".to_owned());
    } else {
        words.extend(blocks(&IpSet {
            v4: addresses.v4.clone(),
            v6: RangeSet::empty(),
        }));
    }
    if v6 {
        words.push("any IPv6 address".to_owned());
    } else {
        words.extend(blocks(&IpSet {
            v4: RangeSet::empty(),
            v6: addresses.v6.clone(),
        }));
    }
    words
}

/// The blocks of a set of one family; where it is shorter, a block around some of them and what it leaves out.
fn blocks(set: &IpSet) -> Vec<String> {
    let blocks = set.cidrs();
    let (Some(first), Some(last)) = (set.ranges().next(), set.ranges().last()) else {
        return Vec::new();
    };
    if blocks.len() < 3 {
        return blocks.iter().map(Cidr::to_string).collect();
    }
    let around = around(first.0, last.1);
    let excepted = IpSet::from(around).difference(set).cidrs();
    if excepted.len() + 1 < blocks.len() {
        let excepted: Vec<String> = excepted.iter().map(Cidr::to_string).collect();
        return vec![format!("{around} except {}", excepted.join(", "))];
    }
    // Three blocks or more never fit into a single address, so there are two halves, with a part of the set in each.
    let lower = IpSet::from(Cidr::new(around.range().0, around.prefix() + 1));
    let mut words = self::blocks(&set.intersection(&lower));
    words.extend(self::blocks(&set.difference(&lower)));
    words
}

/// The smallest block around two addresses.
fn around(first: IpAddr, last: IpAddr) -> Cidr {
    let width = if first.is_ipv4() { 32 } else { 128 };
    let mut prefix = width;
    loop {
        let block = Cidr::new(first, prefix);
        if prefix == 0 || IpSet::from(block).contains(last) {
            return block;
        }
        prefix -= 1;
    }
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
        let far = ["10.0.0.0/8", "172.16.0.0/12", "198.51.100.0/24"];
        let hole = set(&far).difference(&set(&["198.51.100.64/28"]));
        let shown = "198.51.100.0/24 except 198.51.100.64/28";
        assert_eq!(addresses(&hole), ["10.0.0.0/8", "172.16.0.0/12", shown]);
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
