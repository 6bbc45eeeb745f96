//! Cuts all pods that could be, and all their peers, into cells that policies cannot tell apart.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::cluster::NAMESPACE_NAME_LABEL;
use policy_core::policy::{Namespaces, Peer, Peers, Policy, PortSpec, Ports, Rule};
use policy_core::selector::Constraint;
use policy_core::{Direction, IpSet, Labels, Mode, PodId, PortSet, Protocol, Selector};

use crate::inventory::witness;

/// More cells than these are not tried.
const MOST_CELLS: usize = 2_048;

/// There are more cells than are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

/// The pods that some of `within` match, cut by `selectors`: for each combination of selectors that match, labels that
/// bring it about. `None` where there are too many.
pub(super) fn pods(
    within: &[Selector],
    selectors: &[&Selector],
) -> Option<BTreeMap<BTreeSet<usize>, Selector>> {
    let mut cells: BTreeMap<BTreeSet<usize>, Selector> = BTreeMap::new();
    let distinct: BTreeSet<&Selector> = selectors.iter().copied().collect();
    let within: BTreeSet<&Selector> = within.iter().filter(|it| it.is_satisfiable()).collect();
    for start in within {
        let mut pieces = vec![start.clone()];
        for selector in &distinct {
            let cut = pieces.iter().flat_map(|piece| {
                let inner = piece.and(selector);
                let inner = inner.is_satisfiable().then_some(inner);
                inner.into_iter().chain(piece.difference(selector))
            });
            pieces = cut.collect();
            if pieces.len() > MOST_CELLS {
                return None;
            }
        }
        for piece in pieces {
            let Some(labels) = witness(&piece) else {
                continue;
            };
            let matching = (0..selectors.len()).filter(|&index| selectors[index].matches(&labels));
            let simplest = cells
                .entry(matching.collect())
                .or_insert_with(|| piece.clone());
            if piece.constraints().count() < simplest.constraints().count() {
                *simplest = piece;
            }
        }
        if cells.len() > MOST_CELLS {
            return None;
        }
    }
    Some(cells)
}

/// What policies give to a pod that all of them select.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grants {
    /// Whether any of them isolates the pod; otherwise everything passes.
    is_closed: bool,
    pods: Vec<(Selector, Selector, What)>,
    blocks: Vec<(IpSet, What)>,
}

/// On what ports. Named ones are those of the destination, whatever their numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct What {
    numbers: PortSet,
    names: BTreeSet<(Protocol, Box<str>)>,
}

impl What {
    fn all() -> Self {
        Self {
            numbers: PortSet::all(),
            names: BTreeSet::new(),
        }
    }

    fn of(ports: &Ports) -> Self {
        let Ports::Listed(listed) = ports else {
            return Self::all();
        };
        let mut what = Self::default();
        let numbers = listed.iter().filter_map(|spec| match spec {
            PortSpec::Range(protocol, first, last) => Some((*protocol, *first, *last)),
            PortSpec::Named(..) => None,
        });
        what.numbers = numbers.collect();
        let names = listed.iter().filter_map(|spec| match spec {
            PortSpec::Named(protocol, name) => Some((*protocol, name.clone())),
            PortSpec::Range(..) => None,
        });
        what.names = names.collect();
        what
    }

    /// What either gives. A name says nothing more where every number of its protocol is given.
    fn union(&self, other: &Self) -> Self {
        let numbers = self.numbers.union(&other.numbers);
        let names = self.names.union(&other.names);
        let names = names.filter(|(protocol, _)| !numbers.ports(*protocol).is_full());
        Self {
            names: names.cloned().collect(),
            numbers,
        }
    }
}

impl Grants {
    /// Of policies of one namespace in one direction.
    pub(super) fn new<'p>(
        namespace: &str,
        direction: Direction,
        policies: impl Iterator<Item = &'p Policy>,
    ) -> Self {
        let mut grants = Self {
            is_closed: false,
            pods: Vec::new(),
            blocks: Vec::new(),
        };
        for policy in policies {
            grants.is_closed |= policy.mode == Mode::Enforce;
            for rule in policy.rules(direction) {
                if let Rule::Allow { peers, ports } = rule {
                    grants.add(namespace, peers, &What::of(ports));
                }
            }
        }
        if !grants.is_closed {
            grants.pods.clear();
            grants.blocks = vec![(IpSet::full(), What::all())];
        }
        grants
    }

    fn add(&mut self, own: &str, peers: &Peers, what: &What) {
        let Peers::Listed(listed) = peers else {
            self.blocks.push((IpSet::full(), what.clone()));
            return;
        };
        for peer in listed {
            match peer {
                Peer::Block(block) => self.blocks.push((block.addresses(), what.clone())),
                Peer::Pods { namespaces, pods } => {
                    let namespaces = match namespaces {
                        Namespaces::Own => Selector::label(NAMESPACE_NAME_LABEL, own),
                        Namespaces::Matching(selector) => selector.and(&is_named()),
                    };
                    if namespaces.is_satisfiable() && pods.is_satisfiable() {
                        self.pods.push((namespaces, pods.clone(), what.clone()));
                    }
                }
            }
        }
    }

    /// What passes with an address that is a pod's only if `pod` is one of these grants of pods.
    fn what(&self, address: &IpSet, pod: impl Fn(usize) -> bool) -> What {
        let blocks = self
            .blocks
            .iter()
            .filter(|(block, _)| block.contains_all(address));
        let blocks = blocks.map(|(_, what)| what);
        let pods = (0..self.pods.len()).filter(|&index| pod(index));
        let pods = pods.map(|index| &self.pods[index].2);
        blocks
            .chain(pods)
            .fold(What::default(), |all, what| all.union(what))
    }
}

/// Every namespace has a name, so none lacks its label.
fn is_named() -> Selector {
    Selector::from_iter([(NAMESPACE_NAME_LABEL, Constraint::exists())])
}

/// Another end, and what passes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// A pod, by the labels of its namespace and its own; `None` for an address that is no pod's.
    pub pod: Option<(Labels, Labels)>,
    /// Its address is one of these; all where it does not matter.
    pub addresses: IpSet,
    /// The ports that pass on one side alone, by number.
    pub ports: PortSet,
    /// The same by name.
    pub names: Vec<(Protocol, Box<str>)>,
}

impl Point {
    /// How much there is to read.
    pub(super) fn weight(&self) -> usize {
        let labels = |labels: &Labels| labels.iter().count();
        let pod = self.pod.as_ref();
        pod.map_or(1, |(namespace, pod)| labels(namespace) + labels(pod))
    }

    /// The namespace of a pod, and the pod: `[team=a]/[app=web]`, `shop/[other]`.
    pub fn peer(&self) -> Option<PodId> {
        let (namespace, pod) = self.pod.as_ref()?;
        let name = namespace
            .value(NAMESPACE_NAME_LABEL)
            .filter(|name| *name != ANY_NAME);
        let others = namespace
            .iter()
            .filter(|(key, _)| *key != NAMESPACE_NAME_LABEL);
        let others: Labels = others.collect();
        let home = name.map_or_else(|| bracketed(&others), str::to_owned);
        Some(shown(&home, pod))
    }
}

/// The name that a namespace has whose name does not matter: `witness` gives it.
const ANY_NAME: &str = "any";

/// A pod with these labels.
pub(super) fn shown(namespace: &str, pod: &Labels) -> PodId {
    PodId::new(namespace, &bracketed(pod))
}

fn bracketed(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    if pairs.is_empty() {
        "[other]".to_owned()
    } else {
        format!("[{}]", pairs.join(","))
    }
}

/// An end that exactly one side lets pass something with, the simplest there is, and whether this is the second side.
pub(super) fn difference(one: &Grants, other: &Grants) -> Result<Option<(Point, bool)>, TooMany> {
    if one == other {
        return Ok(None);
    }
    let addresses = addresses(&[one, other])?;
    let sides = [one, other];
    // Addresses that are no pod's.
    for address in &addresses {
        let found = unlike(sides.map(|side| side.what(address, |_| false)));
        if let Some((ports, names, is_gained)) = found {
            let point = Point {
                pod: None,
                addresses: address.clone(),
                ports,
                names,
            };
            return Ok(Some((point, is_gained)));
        }
    }
    let peers = peers(&sides)?;
    let mut best: Option<(Point, bool)> = None;
    for (matching, namespace, pod) in &peers {
        let labels = (witness(namespace), witness(pod));
        let (Some(namespace), Some(pod)) = labels else {
            continue;
        };
        let whats: BTreeSet<&IpSet> = addresses.iter().collect();
        for address in whats {
            let [first, second] = [0, 1]
                .map(|side| sides[side].what(address, |index| matching.contains(&(side, index))));
            let Some((ports, names, is_gained)) = unlike([first, second]) else {
                continue;
            };
            let addresses = address.clone();
            let pod = Some((namespace.clone(), pod.clone()));
            let point = Point {
                pod,
                addresses,
                ports,
                names,
            };
            if best
                .as_ref()
                .is_none_or(|(best, _)| point.weight() < best.weight())
            {
                best = Some((point, is_gained));
            }
        }
    }
    Ok(best)
}

type Names = Vec<(Protocol, Box<str>)>;

/// What exactly one side gives, and whether it is the second.
fn unlike([one, other]: [What; 2]) -> Option<(PortSet, Names, bool)> {
    for (less, more, is_gained) in [(&one, &other, true), (&other, &one, false)] {
        let ports = more.numbers.difference(&less.numbers);
        let names = more.names.difference(&less.names);
        // A name can be any number's, also one that the other side gives.
        let names = names.filter(|(protocol, _)| !less.numbers.ports(*protocol).is_full());
        let names: Names = names.cloned().collect();
        if !ports.is_empty() || !names.is_empty() {
            return Some((ports, names, is_gained));
        }
    }
    None
}

/// All addresses, cut by the blocks.
fn addresses(sides: &[&Grants; 2]) -> Result<Vec<IpSet>, TooMany> {
    let blocks = sides
        .iter()
        .flat_map(|side| &side.blocks)
        .map(|(block, _)| block);
    let blocks: BTreeSet<&IpSet> = blocks.filter(|block| !block.is_empty()).collect();
    let mut pieces = vec![IpSet::full()];
    for block in blocks {
        let cut = pieces
            .iter()
            .flat_map(|piece| [piece.intersection(block), piece.difference(block)]);
        pieces = cut.filter(|piece| !piece.is_empty()).collect();
        if pieces.len() > MOST_CELLS {
            return Err(TooMany);
        }
    }
    Ok(pieces)
}

/// The grants of pods (side and position) that match a peer, what its namespace and what itself must be.
type PeerCell = (BTreeSet<(usize, usize)>, Selector, Selector);

/// All pods that some grant is for, cut by the grants; and one that none is for.
fn peers(sides: &[&Grants; 2]) -> Result<Vec<PeerCell>, TooMany> {
    let mut pieces: Vec<PeerCell> = vec![(BTreeSet::new(), is_named(), Selector::everything())];
    let grants =
        (0..2).flat_map(|side| (0..sides[side].pods.len()).map(move |index| (side, index)));
    let mut distinct: BTreeMap<(&Selector, &Selector), Vec<(usize, usize)>> = BTreeMap::new();
    for (side, index) in grants {
        let (namespaces, pods, _) = &sides[side].pods[index];
        distinct
            .entry((namespaces, pods))
            .or_default()
            .push((side, index));
    }
    for ((namespaces, pods), grants) in distinct {
        let mut cut: Vec<PeerCell> = Vec::new();
        for (matching, of, peers) in pieces {
            let (both, inner) = (of.and(namespaces), peers.and(pods));
            if !both.is_satisfiable() || !inner.is_satisfiable() {
                cut.push((matching, of, peers));
                continue;
            }
            let elsewhere = of.difference(namespaces).into_iter();
            cut.extend(elsewhere.map(|of| (matching.clone(), of, peers.clone())));
            let others = peers.difference(pods).into_iter();
            cut.extend(others.map(|peers| (matching.clone(), both.clone(), peers)));
            let mut matching = matching;
            matching.extend(&grants);
            cut.push((matching, both, inner));
        }
        pieces = cut;
        if pieces.len() > MOST_CELLS {
            return Err(TooMany);
        }
    }
    Ok(pieces)
}
