//! Addresses for pods and nodes that have none, so that what is not deployed yet can be evaluated.
//!
//! They depend on the set of objects alone, not on its order. None of them occurs in the input, and none lies in an
//! `ipBlock` that somebody wrote for a place in particular, as long as there are others.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policy_core::range_set::Point;
use policy_core::{Cidr, IpSet, Node, Pod, PodId, Policy};

/// Blocks up to this size are about a place in particular; larger ones are about "inside" or "the internet".
const SPECIFIC_V4: u8 = 8;
const SPECIFIC_V6: u8 = 16;

/// Gives an address of each family to whatever lacks one and can be reached, but none that is `reserved`.
pub(super) fn give_out(
    pods: &mut BTreeMap<PodId, Pod>,
    nodes: &mut BTreeMap<String, Node>,
    policies: &[&Policy],
    reserved: &[IpAddr],
) {
    if !are_missing(pods, nodes) {
        return;
    }
    let families = Families::of(pods, nodes);
    let blocks = specific_blocks(policies);
    let mut taken = written(pods, nodes);
    taken.extend(reserved);
    let mut node_pool = Pool::new(&node_networks(), &blocks, &taken);
    for node in nodes.values_mut().filter(|node| node.addresses.is_empty()) {
        node.addresses = node_pool.next(families);
        taken.extend(&node.addresses);
    }
    let mut pod_pool = Pool::new(&pod_networks(), &blocks, &taken);
    for pod in pods
        .values_mut()
        .filter(|pod| pod.addresses.is_empty() && !pod.finished)
    {
        pod.addresses = if pod.host_network {
            let node = pod.node.as_deref().and_then(|node| nodes.get(node));
            match node {
                Some(node) => node.addresses.clone(),
                None if !pod.host_addresses.is_empty() => pod.host_addresses.clone(),
                None => node_pool.next(families),
            }
        } else {
            pod_pool.next(families)
        };
    }
}

/// Whether anything lacks an address that can be reached.
pub(super) fn are_missing(pods: &BTreeMap<PodId, Pod>, nodes: &BTreeMap<String, Node>) -> bool {
    let mut pods = pods.values().filter(|pod| !pod.finished);
    pods.any(|pod| pod.addresses.is_empty()) || nodes.values().any(|node| node.addresses.is_empty())
}

/// The families that the cluster uses.
#[derive(Clone, Copy)]
struct Families {
    v4: bool,
    v6: bool,
}

impl Families {
    /// Those of the pods that have addresses, or else of the nodes; both, where nobody has any.
    fn of(pods: &BTreeMap<PodId, Pod>, nodes: &BTreeMap<String, Node>) -> Self {
        let of = |addresses: &mut dyn Iterator<Item = &IpAddr>| {
            let mut families = Self {
                v4: false,
                v6: false,
            };
            for address in addresses {
                families.v4 |= address.is_ipv4();
                families.v6 |= address.is_ipv6();
            }
            (families.v4 || families.v6).then_some(families)
        };
        of(&mut pods.values().flat_map(|pod| &pod.addresses))
            .or_else(|| of(&mut nodes.values().flat_map(|node| &node.addresses)))
            .unwrap_or(Self { v4: true, v6: true })
    }
}

fn written(pods: &BTreeMap<PodId, Pod>, nodes: &BTreeMap<String, Node>) -> Vec<IpAddr> {
    let of_pods = pods
        .values()
        .flat_map(|pod| pod.addresses.iter().chain(&pod.host_addresses));
    of_pods
        .chain(nodes.values().flat_map(|node| &node.addresses))
        .copied()
        .collect()
}

/// The blocks that are about a place in particular.
fn specific_blocks(policies: &[&Policy]) -> IpSet {
    let blocks = policies.iter().flat_map(|policy| policy.blocks());
    let cidrs = blocks.flat_map(|block| std::iter::once(&block.cidr).chain(&block.except));
    cidrs.filter(|cidr| is_specific(cidr)).copied().collect()
}

fn is_specific(cidr: &Cidr) -> bool {
    let (first, _) = cidr.range();
    cidr.prefix()
        > if first.is_ipv4() {
            SPECIFIC_V4
        } else {
            SPECIFIC_V6
        }
}

/// Free addresses of both families, in the order in which they are given out.
struct Pool {
    v4: VecDeque<(u32, u32)>,
    v6: VecDeque<(u128, u128)>,
}

impl Pool {
    /// Addresses of these networks, the first network first. Those in `blocks` come after all others.
    fn new(networks: &[Cidr], blocks: &IpSet, taken: &[IpAddr]) -> Self {
        let taken: IpSet = taken.iter().copied().collect();
        let networks: Vec<IpSet> = networks.iter().map(usable).collect();
        let clear = networks.iter().map(|network| network.difference(blocks));
        let blocked = networks.iter().map(|network| network.intersection(blocks));
        let free: Vec<IpSet> = clear
            .chain(blocked)
            .map(|network| network.difference(&taken))
            .collect();
        Self {
            v4: free
                .iter()
                .flat_map(|free| free.v4.ranges())
                .copied()
                .collect(),
            v6: free
                .iter()
                .flat_map(|free| free.v6.ranges())
                .copied()
                .collect(),
        }
    }

    /// The next free address of each of the families.
    fn next(&mut self, families: Families) -> Vec<IpAddr> {
        let v4 = families.v4.then(|| take(&mut self.v4)).flatten();
        let v6 = families.v6.then(|| take(&mut self.v6)).flatten();
        let v4 = v4.map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits)));
        v4.into_iter()
            .chain(v6.map(|bits| Ipv6Addr::from_bits(bits).into()))
            .collect()
    }
}

/// A network without its first and last address.
fn usable(network: &Cidr) -> IpSet {
    let (first, last) = network.range();
    let whole = IpSet::from(*network);
    whole.difference(&[first, last].into_iter().collect())
}

fn take<T: Point>(free: &mut VecDeque<(T, T)>) -> Option<T> {
    let (first, last) = free.pop_front()?;
    if let Some(next) = first.next().filter(|next| *next <= last) {
        free.push_front((next, last));
    }
    Some(first)
}

/// For pods: a usual pod network, then the rest of 10.0.0.0/8 and shared space.
fn pod_networks() -> Vec<Cidr> {
    let v4 = |[a, b]: [u8; 2], prefix| Cidr::new(Ipv4Addr::new(a, b, 0, 0).into(), prefix);
    let v6 = |group| Cidr::new(Ipv6Addr::new(0xfd00, 0x10, group, 0, 0, 0, 0, 0).into(), 64);
    let mut networks = vec![v4([10, 244], 16), v6(0x244)];
    networks.extend(
        (0..=255)
            .rev()
            .filter(|net| *net != 244)
            .map(|net| v4([10, net], 16)),
    );
    networks.push(v4([100, 64], 10));
    networks.push(v6(0x245));
    networks
}

/// For nodes: a corner of 172.16.0.0/12, then the rest of it.
fn node_networks() -> Vec<Cidr> {
    let v4 = |[a, b]: [u8; 2], prefix| Cidr::new(Ipv4Addr::new(a, b, 0, 0).into(), prefix);
    let v6 = |group| {
        Cidr::new(
            Ipv6Addr::new(0xfd00, 0x172, group, 0, 0, 0, 0, 0).into(),
            64,
        )
    };
    let mut networks = vec![v4([172, 30], 24), v6(0x30)];
    networks.extend((16..30).rev().map(|net| v4([172, net], 16)));
    networks.push(v6(0x31));
    networks
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy_core::policy::{IpBlock, Namespaces, Peer, Peers, Ports, Rule};
    use policy_core::{PolicyId, Selector};

    fn pod(name: &str, addresses: &[&str]) -> (PodId, Pod) {
        let (mut pod, _) = policy_core::lower::pod(&k8s_openapi::api::core::v1::Pod::default());
        pod.id = PodId::new("shop", name);
        pod.addresses = addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        (pod.id.clone(), pod)
    }

    fn given(pods: Vec<(PodId, Pod)>, policies: &[&Policy]) -> Vec<String> {
        let mut pods = pods.into_iter().collect();
        give_out(&mut pods, &mut BTreeMap::new(), policies, &[]);
        pods.values()
            .flat_map(|pod| &pod.addresses)
            .map(ToString::to_string)
            .collect()
    }

    fn policy(cidrs: &[&str]) -> Policy {
        let block = |cidr: &&str| {
            let cidr = Cidr::parse(cidr).unwrap().cidr;
            Peer::Block(IpBlock {
                cidr,
                except: Vec::new(),
            })
        };
        let peers = cidrs.iter().map(block).chain([Peer::Pods {
            namespaces: Namespaces::Own,
            pods: Selector::everything(),
        }]);
        Policy {
            id: PolicyId {
                namespace: "shop".into(),
                name: "p".into(),
            },
            subjects: Selector::everything(),
            stated_mode: None,
            mode: policy_core::Mode::Enforce,
            isolates_ingress: true,
            isolates_egress: false,
            ingress: vec![Rule::Allow {
                peers: Peers::Listed(peers.collect()),
                ports: Ports::All,
            }],
            egress: Vec::new(),
        }
    }

    #[test]
    fn both_families_are_given_where_nobody_has_an_address() {
        assert_eq!(
            given(vec![pod("b", &[]), pod("a", &[])], &[]),
            [
                "10.244.0.1",
                "fd00:10:244::1",
                "10.244.0.2",
                "fd00:10:244::2"
            ]
        );
    }

    #[test]
    fn a_single_stack_cluster_stays_single_stack_and_no_address_is_given_twice() {
        let pods = vec![pod("a", &[]), pod("b", &["10.244.0.1"])];
        assert_eq!(given(pods, &[]), ["10.244.0.2", "10.244.0.1"]);
    }

    #[test]
    fn small_blocks_are_avoided_and_large_ones_are_not() {
        let policy = policy(&["10.0.0.0/8", "10.244.0.0/24", "fd00:10:244::/65"]);
        assert_eq!(
            given(vec![pod("a", &[])], &[&policy]),
            ["10.244.1.0", "fd00:10:244:0:8000::"]
        );
    }
}
