//! The sets and the two chains of one class.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::class::{Class, Classes, Grant, Ports, SharedPeers};
use crate::config::Config;
use crate::element::{Element, Key, ProtocolPorts};
use crate::layout::LayoutError;
use crate::log_prefix::{LogPrefix, Refusal};
use crate::names::{AUDITED, Label, Name};
use crate::ruleset::{Chain, Ruleset, Set};
use crate::statement::{Field, Rule, Statement};
use crate::value::Family;
use crate::vocabulary::{counter, in_set, log_limited};

/// A direction as seen from the isolated pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// What the pod receives.
    Ingress,
    /// What the pod sends.
    Egress,
}

/// Whether a chain reads packets of a flow's original direction or of its replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The packet's source is the flow's source.
    Original,
    /// The packet's source is the flow's destination.
    Reversed,
}

/// What a rule of a class compares: one set, or a set of peers and a set of ports.
#[derive(Debug, Clone)]
pub(crate) enum Lookup {
    /// No lookup: everything is allowed.
    Everything,
    /// One set.
    One(Key, Name),
    /// Both of two sets.
    Both([(Key, Name); 2]),
}

/// The sets of each shared peer set, by label.
pub(crate) type SharedSets = BTreeMap<Label, Vec<(Key, Name)>>;

impl Direction {
    /// Both directions, in the order in which a packet passes them.
    pub const ALL: [Self; 2] = [Self::Egress, Self::Ingress];

    /// The classes of this direction.
    pub(crate) fn classes(self, classes: &Classes) -> &BTreeMap<Label, Class> {
        match self {
            Self::Ingress => &classes.ingress,
            Self::Egress => &classes.egress,
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Ingress => 'i',
            Self::Egress => 'e',
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// The name of a class's chain: `i_web`, or `ir_web` for replies.
pub(crate) fn name(direction: Direction, way: Way, class: &Label) -> Name {
    let reversed = match way {
        Way::Original => "",
        Way::Reversed => "r",
    };
    Name::fixed(format!("{}{reversed}_{class}", direction.letter()))
}

/// Adds the sets of the shared peers.
pub(crate) fn add_shared_peers(
    ruleset: &mut Ruleset,
    shared: &BTreeMap<Label, SharedPeers>,
) -> SharedSets {
    let sets_of = |(label, peers): (&Label, &SharedPeers)| {
        let elements = peers.addresses.iter().map(|range| Element::Address(*range));
        let sets = add_elements(ruleset, &format!("p_{label}"), elements, &peers.comment);
        (label.clone(), sets)
    };
    shared.iter().map(sets_of).collect()
}

/// Adds the sets of a class and tells which lookups its rules make.
pub(crate) fn add_sets(
    ruleset: &mut Ruleset,
    direction: Direction,
    label: &Label,
    class: &Class,
    shared: &SharedSets,
) -> Result<Vec<Lookup>, LayoutError> {
    let stem = format!("{}_{label}", direction.letter());
    if class.grants.contains(&Grant::Everyone(Ports::All)) {
        return Ok(vec![Lookup::Everything]);
    }
    let mut own = BTreeSet::new();
    let mut lookups = Vec::new();
    for (number, grant) in class.grants.iter().enumerate() {
        match grant {
            Grant::Everyone(Ports::All) => {}
            Grant::Everyone(Ports::Only(ports)) => own.extend(port_elements(ports)),
            Grant::Peers(peers) => own.extend(peers.iter().copied().map(Element::Address)),
            Grant::PeerPorts(boxes) => own.extend(boxes.iter().copied().map(Element::PeerPort)),
            Grant::Shared { peers, ports } => {
                let Some(peer_sets) = shared.get(peers) else {
                    let (class, peers) = (label.clone(), peers.clone());
                    return Err(LayoutError::NoSuchPeers {
                        direction,
                        class,
                        peers,
                    });
                };
                let Ports::Only(ports) = ports else {
                    lookups.extend(
                        peer_sets
                            .iter()
                            .map(|(key, set)| Lookup::One(*key, set.clone())),
                    );
                    continue;
                };
                let stem = format!("{}q{number}_{label}", direction.letter());
                let port_sets = add_elements(ruleset, &stem, port_elements(ports), &[]);
                for peers in peer_sets {
                    lookups.extend(
                        port_sets
                            .iter()
                            .map(|ports| Lookup::Both([peers.clone(), ports.clone()])),
                    );
                }
            }
        }
    }
    let own = add_elements(ruleset, &stem, own.into_iter(), &[]);
    Ok(own
        .into_iter()
        .map(|(key, set)| Lookup::One(key, set))
        .chain(lookups)
        .collect())
}

/// The chain of a class that sends what its sets hold to the next stage. Everything else is told and
/// falls off its end, to the deny of the base chain; of an audited class it is told, counted, and goes
/// to the next stage as well.
pub(crate) fn chain(
    direction: Direction,
    way: Way,
    (label, class): (&Label, &Class),
    lookups: &[Lookup],
    next: &Statement,
    config: &Config,
) -> Chain {
    let peer_is_source = peer_is_source(direction, way);
    let matches = |key: Key, set: &Name| in_set(fields(key, peer_is_source, way), set);
    let rule = |lookup: &Lookup| match lookup {
        Lookup::Everything => Rule::new([next.clone()]),
        Lookup::One(key, set) => Rule::new([matches(*key, set), next.clone()]),
        Lookup::Both([(peer_key, peers), (port_key, ports)]) => {
            let (peers, ports) = (matches(*peer_key, peers), matches(*port_key, ports));
            Rule::new([peers, ports, next.clone()])
        }
    };
    let comment = match way {
        Way::Original => class.comment.clone(),
        Way::Reversed => Vec::new(),
    };
    let mut rules: Vec<Rule> = lookups.iter().map(rule).collect();
    if !matches!(lookups, [Lookup::Everything]) {
        let is_audited = class.audited || config.audit_all;
        let refusal = if is_audited {
            Refusal::Audited
        } else {
            Refusal::Denied
        };
        let prefix = LogPrefix::new(refusal, direction, way, label);
        let log = config.log.target();
        rules.extend(log.map(|(rate, target)| Rule::new(log_limited(rate, &prefix, target))));
        let pass = || Rule::new([counter(&Name::fixed(AUDITED)), next.clone()]);
        rules.extend(is_audited.then(pass));
    }
    Chain {
        priority: None,
        rules,
        comment,
    }
}

/// Whether the peer's address is the packet's source: for ingress it is, and in replies the other
/// way round.
pub(crate) const fn peer_is_source(direction: Direction, way: Way) -> bool {
    matches!(
        (direction, way),
        (Direction::Ingress, Way::Original) | (Direction::Egress, Way::Reversed)
    )
}

/// The source address of a packet of this family.
pub(crate) const fn source(family: Family) -> Field {
    match family {
        Family::V4 => Field::IpSaddr,
        Family::V6 => Field::Ip6Saddr,
    }
}

/// The destination address of a packet of this family.
pub(crate) const fn destination(family: Family) -> Field {
    match family {
        Family::V4 => Field::IpDaddr,
        Family::V6 => Field::Ip6Daddr,
    }
}

/// The fields that a key of a class's set stands for. Policies name the port of the flow's
/// destination, which is a reply's source port.
fn fields(key: Key, peer_is_source: bool, way: Way) -> Vec<Field> {
    let peer = if peer_is_source { source } else { destination };
    let port = match way {
        Way::Original => Field::ThDport,
        Way::Reversed => Field::ThSport,
    };
    match key {
        Key::Address(family) => vec![peer(family)],
        Key::Pair(family) => vec![source(family), destination(family)],
        Key::Port => vec![Field::L4Proto, port],
        Key::PeerPort(family) => vec![peer(family), Field::L4Proto, port],
    }
}

fn port_elements(ports: &BTreeSet<ProtocolPorts>) -> impl Iterator<Item = Element> {
    ports.iter().copied().map(Element::Port)
}

/// Sorts elements into sets by their key, exact ones into hashes and ranges into interval sets, and
/// tells the sets that came out, in the order in which rules look them up.
fn add_elements(
    ruleset: &mut Ruleset,
    stem: &str,
    elements: impl Iterator<Item = Element>,
    comment: &[String],
) -> Vec<(Key, Name)> {
    let mut sets: BTreeMap<(Rank, Name), Set> = BTreeMap::new();
    for element in elements {
        let (key, interval) = (element.key(), !element.is_exact());
        let name = Name::fixed(format!("{stem}_{}", suffix(key, interval)));
        let set = sets
            .entry((rank(key, interval), name))
            .or_insert_with(|| Set::new(key, interval));
        set.elements.insert(element);
    }
    let mut added = Vec::with_capacity(sets.len());
    for ((_, name), mut set) in sets {
        set.comment = comment.to_vec();
        added.push((set.key, name.clone()));
        ruleset.sets.insert(name, set);
    }
    added
}

/// Cheap lookups come first: a hash before an interval set, a short key before a long one.
type Rank = (bool, Key);

const fn rank(key: Key, interval: bool) -> Rank {
    (interval, key)
}

/// What ends the name of a set: `any` ports open to every peer, `a` addresses on all ports, `h`
/// peers with ports; with ranges `anyr`, `b` and `r`.
fn suffix(key: Key, interval: bool) -> String {
    let (stem, family) = match (key, interval) {
        (Key::Port, false) => return "any".to_owned(),
        (Key::Port, true) => return "anyr".to_owned(),
        (Key::Address(family), false) => ('a', family),
        (Key::Address(family), true) => ('b', family),
        (Key::PeerPort(family), false) => ('h', family),
        (Key::PeerPort(family), true) => ('r', family),
        (Key::Pair(family), _) => ('s', family),
    };
    format!("{stem}{}", family.digit())
}
