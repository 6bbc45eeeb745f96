//! What is open to the internet, to the whole cluster, and to namespaces that the input does not hold.
//!
//! It is asked of each pod's own policies alone: what the other end's policies say may change without anybody looking at
//! this pod.

use std::collections::BTreeMap;

use policy_core::reach::{PortTable, PortsId};
use policy_core::{Cidr, Direction, IpSet, Pod, PodId, PortSet, RuleGraph};

use crate::inventory::{Inventory, Standing, is_unknown};
use crate::kinds::Kinds;
use crate::matrix::families;

/// What is open, and to whom.
#[derive(Debug)]
pub struct Exposure {
    /// The pods, sorted; what the lines count.
    pub pods: Vec<(PodId, Standing)>,
    /// What is open, the widest audience first.
    pub lines: Vec<Exposed>,
    /// The pods on their nodes' networks, for which no policy holds, sorted.
    pub unruled: Vec<usize>,
}

/// Pods that are open alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    /// Whether they receive or open.
    pub direction: Direction,
    /// From whom or to whom.
    pub audience: Audience,
    /// On what.
    pub ports: PortSet,
    /// The pods: positions in [`Exposure::pods`], sorted. All of them are in the input.
    pub pods: Vec<usize>,
}

/// Whom something is open to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// Every pod and every address.
    Anyone,
    /// These addresses: at least half of the internet's in a family.
    Internet(IpSet),
    /// Every pod, of namespaces too that the input does not hold.
    Cluster,
    /// Pods of namespaces that the input does not hold: positions in [`Exposure::pods`].
    Unknown(Vec<usize>),
    /// These addresses: some of the internet's.
    Addresses(IpSet),
}

/// A question that the command line asks of an [`Audience`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Level {
    /// The internet, or most of it.
    Internet,
    /// Every pod of the cluster.
    Cluster,
    /// Pods of namespaces that the input does not hold.
    Unknown,
}

impl Audience {
    /// Whether the audience holds what the question is about. The whole cluster holds the unknown namespaces.
    pub fn reaches(&self, level: Level) -> bool {
        match self {
            Self::Anyone => true,
            Self::Internet(_) => level == Level::Internet,
            Self::Cluster => level != Level::Internet,
            Self::Unknown(_) => level == Level::Unknown,
            Self::Addresses(_) => false,
        }
    }
}

/// Looks at every pod of the input. `pods` are those of the cluster, the possible ones among them.
#[must_use]
pub fn exposure(inventory: &Inventory<'_>, pods: Vec<(PodId, Standing)>) -> Exposure {
    let graph = RuleGraph::compile(&inventory.cluster);
    let all = inventory.cluster.pods();
    let own: Vec<&Pod> = pods.iter().map(|(id, _)| all[id].as_ref()).collect();
    let mut table = PortTable::new();
    let kinds = Kinds::new(vec![(&graph, &own)], &pods, &mut table);
    let mut peers: Vec<usize> = (0..kinds.len())
        .filter(|&kind| kinds.is_subject(kind))
        .collect();
    let unknown: BTreeMap<usize, Vec<usize>> = peers
        .iter()
        .map(|&kind| (kind, unknown(&kinds.members[kind], &pods)))
        .filter(|(_, pods)| !pods.is_empty())
        .collect();
    // Most pods admit nothing to unknown ones, and then nothing to all: asked first, the others need not be asked.
    peers.sort_by_key(|kind| !unknown.contains_key(kind));
    let internet = internet();
    let mut found: BTreeMap<(Direction, Audience, PortSet), Vec<usize>> = BTreeMap::new();
    for &kind in &peers {
        let members = kinds.members[kind].iter().copied();
        let known: Vec<usize> = members.filter(|&pod| is_known(&pods, pod)).collect();
        if known.is_empty() {
            continue;
        }
        let pod = own[kinds.first(kind)];
        for direction in Direction::ALL {
            let within = families(&graph, pod);
            let outside = graph.outside(pod, direction);
            let outside = outside.into_iter().map(|(addresses, ports)| {
                let addresses = addresses.intersection(&within);
                (addresses, ports)
            });
            let towards = Towards {
                cluster: to_all(&kinds, (kind, direction), &peers, &mut table),
                unknown: to_unknown(&kinds, (kind, direction), &unknown, &mut table),
                outside: outside
                    .filter(|(addresses, _)| !addresses.is_empty())
                    .collect(),
                within,
            };
            for (audience, ports) in towards.told(&internet, &table) {
                let pods = found.entry((direction, audience, ports)).or_default();
                pods.extend(&known);
            }
        }
    }
    let lines = found
        .into_iter()
        .map(|((direction, audience, ports), mut pods)| {
            pods.sort_unstable();
            Exposed {
                direction,
                audience,
                ports,
                pods,
            }
        });
    let mut lines: Vec<Exposed> = lines.collect();
    lines.sort_by(|one, other| {
        let key = |line: &Exposed| (line.audience.clone(), line.direction, line.pods.clone());
        key(one)
            .cmp(&key(other))
            .then_with(|| one.ports.cmp(&other.ports))
    });
    let unruled = (0..pods.len()).filter(|&pod| is_known(&pods, pod) && own[pod].host_network);
    Exposure {
        lines,
        unruled: unruled.collect(),
        pods,
    }
}

fn is_known(pods: &[(PodId, Standing)], pod: usize) -> bool {
    pods[pod].1 != Standing::Possible
}

/// What the policies of a kind admit to all other kinds.
fn to_all(
    kinds: &Kinds<'_>,
    (kind, direction): (usize, Direction),
    peers: &[usize],
    table: &mut PortTable,
) -> PortsId {
    let mut all = PortTable::ALL;
    for &peer in peers {
        if let Some(ports) = kinds.admitted(0, (kind, direction, peer), table) {
            all = table.intersection(all, ports);
        }
        if all == PortTable::NONE {
            break;
        }
    }
    all
}

/// Those of the pods that are of namespaces which the input does not hold.
fn unknown(members: &[usize], pods: &[(PodId, Standing)]) -> Vec<usize> {
    let is_meant = |pod: &usize| is_unknown(&pods[*pod].0.namespace);
    members.iter().copied().filter(is_meant).collect()
}

/// What they admit to pods of namespaces that the input does not hold, by the ports.
fn to_unknown(
    kinds: &Kinds<'_>,
    (kind, direction): (usize, Direction),
    unknown: &BTreeMap<usize, Vec<usize>>,
    table: &mut PortTable,
) -> BTreeMap<PortsId, Vec<usize>> {
    let mut found: BTreeMap<PortsId, Vec<usize>> = BTreeMap::new();
    for (&peer, pods) in unknown {
        match kinds.admitted(0, (kind, direction, peer), table) {
            None | Some(PortTable::NONE) => {}
            Some(ports) => found.entry(ports).or_default().extend(pods),
        }
    }
    found
}

/// What the policies of one kind admit in one direction.
struct Towards {
    /// To every pod.
    cluster: PortsId,
    /// To pods of unknown namespaces.
    unknown: BTreeMap<PortsId, Vec<usize>>,
    /// To addresses that are no pod's.
    outside: Vec<(IpSet, PortSet)>,
    /// All addresses of the families that the pods have.
    within: IpSet,
}

impl Towards {
    /// What to tell: nothing twice that a wider audience has already.
    fn told(&self, internet: &IpSet, table: &PortTable) -> Vec<(Audience, PortSet)> {
        let cluster = table.ports(self.cluster);
        let mut rest = self.within.clone();
        let mut everywhere = PortSet::all();
        for (addresses, ports) in &self.outside {
            rest = rest.difference(addresses);
            everywhere = everywhere.intersection(ports);
        }
        if !rest.is_empty() {
            everywhere = PortSet::empty();
        }
        let anyone = everywhere.intersection(cluster);
        let outside = self.outside.iter();
        let outside =
            outside.map(|(addresses, ports)| (addresses.clone(), ports.difference(&anyone)));
        let mut unknown: BTreeMap<PortSet, Vec<usize>> = BTreeMap::new();
        for (&ports, pods) in &self.unknown {
            let ports = table.ports(ports).difference(cluster);
            unknown.entry(ports).or_default().extend(pods);
        }
        let mut told = vec![
            (Audience::Anyone, anyone.clone()),
            (Audience::Cluster, cluster.difference(&anyone)),
        ];
        told.extend(told_outside(outside.collect(), internet));
        told.extend(unknown.into_iter().map(|(ports, mut pods)| {
            pods.sort_unstable();
            (Audience::Unknown(pods), ports)
        }));
        told.retain(|(_, ports)| !ports.is_empty());
        told
    }
}

/// What is open to most of the internet first, and then what some addresses have besides.
fn told_outside(mut pieces: Vec<(IpSet, PortSet)>, internet: &IpSet) -> Vec<(Audience, PortSet)> {
    let mut told = Vec::new();
    let is_wide = |(addresses, ports): &(IpSet, PortSet)| {
        !ports.is_empty() && is_most(&addresses.intersection(internet), internet)
    };
    while let Some((_, common)) = pieces.iter().find(|piece| is_wide(piece)).cloned() {
        let mut all = IpSet::empty();
        for (addresses, ports) in &mut pieces {
            if ports.contains_all(&common) {
                all = all.union(addresses);
                *ports = ports.difference(&common);
            }
        }
        told.push((Audience::Internet(all), common));
    }
    let mut rest: BTreeMap<PortSet, IpSet> = BTreeMap::new();
    for (addresses, ports) in pieces {
        let addresses = addresses.intersection(internet);
        if !addresses.is_empty() && !ports.is_empty() {
            let known = rest.entry(ports).or_default();
            *known = known.union(&addresses);
        }
    }
    let rest = rest.into_iter();
    told.extend(rest.map(|(ports, addresses)| (Audience::Addresses(addresses), ports)));
    told
}

/// Whether a set holds at least half of the internet's addresses of one family.
fn is_most(set: &IpSet, internet: &IpSet) -> bool {
    let sizes = |set: &IpSet| {
        let v4 = set
            .v4
            .ranges()
            .iter()
            .map(|(first, last)| u128::from(last - first) + 1);
        // The internet's part of IPv6 is an eighth of it, so the sum does not overflow.
        let v6 = set.v6.ranges().iter().map(|(first, last)| last - first + 1);
        [v4.sum::<u128>(), v6.sum()]
    };
    let (set, whole) = (sizes(set), sizes(internet));
    (0..2).any(|family| set[family] >= whole[family] / 2)
}

/// The addresses that hosts of the internet have: unicast ones that are not set aside for private networks, carriers,
/// links and the host itself (IANA's registries of special-purpose addresses). Documentation's are counted in, so that
/// examples mean what they show.
fn internet() -> IpSet {
    const SPECIAL: [&str; 9] = [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/3",
    ];
    let block = |cidr: &str| Cidr::parse(cidr).map(|written| written.cidr);
    let special: IpSet = SPECIAL.iter().filter_map(|cidr| block(cidr)).collect();
    let unicast: IpSet = ["0.0.0.0/0", "2000::/3"]
        .into_iter()
        .filter_map(block)
        .collect();
    unicast.difference(&special)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(blocks: &[&str]) -> IpSet {
        let blocks = blocks.iter().map(|block| Cidr::parse(block).unwrap().cidr);
        blocks.collect()
    }

    #[test]
    fn most_of_the_internet_is_not_a_few_blocks_of_it() {
        let internet = internet();
        let is_most =
            |blocks: &[&str]| super::is_most(&set(blocks).intersection(&internet), &internet);
        for blocks in [
            &["0.0.0.0/0"][..],
            &["::/0"],
            &["0.0.0.0/1", "128.0.0.0/1"],
            &["2000::/4"],
        ] {
            assert!(is_most(blocks), "{blocks:?}");
        }
        for blocks in [
            &["203.0.113.0/24"][..],
            &["10.0.0.0/8", "172.16.0.0/12", "fc00::/7"],
            &["0.0.0.0/3", "2000::/6"],
            &[],
        ] {
            assert!(!is_most(blocks), "{blocks:?}");
        }
    }
}
