//! The sets and the two chains of one class.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::class::{Class, Classes, Grant, Ports, SharedPeers};
use crate::class_counters::{self, Kind};
use crate::config::Config;
use crate::counted_rules::{Count, Part, count};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// The packet's source is the flow's source.
    Original,
    /// The packet's source is the flow's destination.
    Reversed,
}

/// What a rule of a class compares: one set, or a set of peers and a set of ports.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    pub(crate) const fn letter(self) -> char {
        match self {
            Self::Ingress => 'i',
            Self::Egress => 'e',
        }
    }
}

impl From<Direction> for policy_core::Direction {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Ingress => Self::Ingress,
            Direction::Egress => Self::Egress,
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
        let sets = add_elements(ruleset, &peers_stem(label), elements, &peers.comment);
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
    if class.grants.contains(&Grant::Everyone(Ports::All)) {
        return Ok(vec![Lookup::Everything]);
    }
    let mut products = Vec::new();
    let splits = class.grants.iter().filter_map(|grant| match grant {
        Grant::Shared { peers, ports } => Some((peers, ports)),
        _ => None,
    });
    for (number, (peers, ports)) in splits.enumerate() {
        let Some(peer_sets) = shared.get(peers) else {
            let (class, peers) = (label.clone(), peers.clone());
            return Err(LayoutError::NoSuchPeers {
                direction,
                class,
                peers,
            });
        };
        let port_sets = match ports {
            Ports::All => None,
            Ports::Only(ports) => {
                let stem = ports_stem(direction, number, label);
                Some(add_elements(ruleset, &stem, port_elements(ports), &[]))
            }
        };
        products.push((peer_sets.clone(), port_sets));
    }
    let elements = own_elements(&class.grants).into_iter();
    let own = add_elements(ruleset, &stem(direction, label), elements, &[]);
    Ok(lookups(own, products))
}

/// Sets, in the order in which rules look them up.
pub(crate) type Sets = Vec<(Key, Name)>;

/// The lookups of a class with these sets of its own, and for each of its splits the peer sets and, unless it is for all
/// ports, the port sets.
pub(crate) fn lookups(own: Sets, splits: Vec<(Sets, Option<Sets>)>) -> Vec<Lookup> {
    let one = |(key, set)| Lookup::One(key, set);
    let mut lookups: Vec<Lookup> = own.into_iter().map(one).collect();
    for (peers, ports) in splits {
        let Some(ports) = ports else {
            lookups.extend(peers.into_iter().map(one));
            continue;
        };
        for peers in peers {
            let both = |ports: &(Key, Name)| Lookup::Both([peers.clone(), ports.clone()]);
            lookups.extend(ports.iter().map(both));
        }
    }
    lookups
}

/// The elements of a class that are no split's.
pub(crate) fn own_elements(grants: &[Grant]) -> BTreeSet<Element> {
    let mut own = BTreeSet::new();
    for grant in grants {
        match grant {
            Grant::Everyone(Ports::Only(ports)) => own.extend(port_elements(ports)),
            Grant::Peers(peers) => own.extend(peers.iter().copied().map(Element::Address)),
            Grant::PeerPorts(boxes) => own.extend(boxes.iter().copied().map(Element::PeerPort)),
            Grant::Everyone(Ports::All) | Grant::Shared { .. } => {}
        }
    }
    own
}

/// Adds the sets of the counted rules of a class and tells how its chains count them.
pub(crate) fn add_counted(
    ruleset: &mut Ruleset,
    direction: Direction,
    label: &Label,
    class: &Class,
) -> Vec<Count> {
    let rules = class.counted.iter().enumerate();
    let counts = rules.map(|(number, rule)| {
        let sets = Part::ALL.map(|part| {
            let elements = rule.part(part).iter().copied();
            add_elements(ruleset, &part.stem(direction, number, label), elements, &[])
        });
        count(&rule.rule, rule.everything, sets)
    });
    counts.collect()
}

/// What a class's chains have besides lookups.
pub(crate) struct Head<'a> {
    pub(crate) label: &'a Label,
    /// The rules that are counted.
    pub(crate) counts: &'a [Count],
    /// Whether nothing is denied, but told and counted.
    pub(crate) audited: bool,
    /// Lines printed above the chain in the text.
    pub(crate) comment: &'a [String],
}

/// The chain of a class that counts what comes to it, for itself and for rules, and sends what its sets hold to the next
/// stage.
/// Everything else is counted, told and falls off its end, to the deny of the base chain; of an audited
/// class it goes to the next stage as well.
pub(crate) fn chain(
    direction: Direction,
    way: Way,
    head: &Head<'_>,
    lookups: &[Lookup],
    next: &Statement,
    config: &Config,
) -> Chain {
    let peer_is_source = peer_is_source(direction, way);
    let matches = |key: Key, set: &Name| in_set(fields(key, peer_is_source, way), set);
    let rule = |lookup: &Lookup, end: &Statement| match lookup {
        Lookup::Everything => Rule::new([end.clone()]),
        Lookup::One(key, set) => Rule::new([matches(*key, set), end.clone()]),
        Lookup::Both([(peer_key, peers), (port_key, ports)]) => {
            let (peers, ports) = (matches(*peer_key, peers), matches(*port_key, ports));
            Rule::new([peers, ports, end.clone()])
        }
    };
    let comment = match way {
        Way::Original => head.comment.to_vec(),
        Way::Reversed => Vec::new(),
    };
    let count = |kind| {
        let name = class_counters::name(kind, direction, head.label);
        config.class_counters.then(|| Rule::new([counter(&name)]))
    };
    let mut rules: Vec<Rule> = count(Kind::Evaluated).into_iter().collect();
    for count in head.counts {
        let end = counter(&count.counter);
        rules.extend(count.lookups.iter().map(|lookup| rule(lookup, &end)));
    }
    rules.extend(lookups.iter().map(|lookup| rule(lookup, next)));
    if !matches!(lookups, [Lookup::Everything]) {
        let is_audited = head.audited || config.audit_all;
        let (refusal, kind) = if is_audited {
            (Refusal::Audited, Kind::Audited)
        } else {
            (Refusal::Denied, Kind::Denied)
        };
        rules.extend(count(kind));
        let prefix = LogPrefix::new(refusal, direction, way, head.label);
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
        // A mark is no field of a packet, and no grant has one.
        Key::Mark => Vec::new(),
    }
}

/// What the names of the sets of shared peers begin with.
pub(crate) fn peers_stem(label: &Label) -> String {
    format!("p_{label}")
}

/// What the names of a class's own sets begin with.
pub(crate) fn stem(direction: Direction, class: &Label) -> String {
    format!("{}_{class}", direction.letter())
}

/// What the names of the port sets of a class's split begin with.
pub(crate) fn ports_stem(direction: Direction, number: usize, class: &Label) -> String {
    format!("{}q{number}_{class}", direction.letter())
}

/// Whether a class of this direction decides by the set of this name, which is its alone.
pub(crate) fn is_of_class_in(set: &Name, direction: Direction) -> bool {
    let rest = set.as_str().strip_prefix(direction.letter());
    rest.is_some_and(|rest| rest.starts_with(['_', 'q']))
}

/// Whether the set of this name holds shared peers.
pub(crate) fn is_of_shared_peers(set: &Name) -> bool {
    set.as_str().starts_with("p_")
}

/// Whether the set of this name holds the ports of a split, in which packets from its peers are looked up.
pub(crate) fn is_of_ports_of_shared_peers(set: &Name) -> bool {
    let rest = set.as_str().strip_prefix(['i', 'e']);
    rest.is_some_and(|rest| rest.starts_with('q'))
}

/// The name of the set with this stem that can hold such elements.
pub(crate) fn set_name(stem: &str, key: Key, interval: bool) -> Name {
    Name::fixed([stem, "_", suffix(key, interval)].concat())
}

pub(crate) fn port_elements(ports: &BTreeSet<ProtocolPorts>) -> impl Iterator<Item = Element> {
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
        let set = sets
            .entry((rank(key, interval), set_name(stem, key, interval)))
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
pub(crate) type Rank = (bool, Key);

pub(crate) const fn rank(key: Key, interval: bool) -> Rank {
    (interval, key)
}

/// What ends the name of a set: `any` ports open to every peer, `a` addresses on all ports, `h`
/// peers with ports; with ranges `anyr`, `b` and `r`.
const fn suffix(key: Key, interval: bool) -> &'static str {
    let ([v4, v6], family) = match (key, interval) {
        (Key::Port, false) => return "any",
        (Key::Port, true) => return "anyr",
        (Key::Mark, _) => return "m",
        (Key::Address(family), false) => (["a4", "a6"], family),
        (Key::Address(family), true) => (["b4", "b6"], family),
        (Key::PeerPort(family), false) => (["h4", "h6"], family),
        (Key::PeerPort(family), true) => (["r4", "r6"], family),
        (Key::Pair(family), _) => (["s4", "s6"], family),
    };
    match family {
        Family::V4 => v4,
        Family::V6 => v6,
    }
}
