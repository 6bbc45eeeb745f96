//! What a class chain lets through, to tell whether one chain allows all that another does.

use std::collections::BTreeSet;

use crate::element::{Element, Key, PeerPorts, ProtocolPorts};
use crate::names::Name;
use crate::ruleset::{Chain, Set};
use crate::statement::{Rule, Statement};
use crate::value::{AddressRange, PortRange, Protocol};

/// More elements of an interval set are not tried one by one.
const MOST_TRIED: usize = 1024;

/// A set, as it is or with a change.
#[derive(Clone, Copy)]
pub(crate) struct SetState<'a> {
    pub(crate) set: &'a Set,
    /// Elements that are in the set and do not count.
    pub(crate) removed: Option<&'a BTreeSet<Element>>,
    /// Elements that count besides.
    pub(crate) added: Option<&'a BTreeSet<Element>>,
}

/// The lookups of a class chain, each with the sets that must all hold the packet.
#[derive(Default)]
pub(crate) struct Permissions<'a> {
    everything: bool,
    single: Vec<SetState<'a>>,
    products: Vec<Vec<SetState<'a>>>,
}

impl<'a> Permissions<'a> {
    /// What no chain allows: everything.
    pub(crate) fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// What the chain allows, with the sets that `set` finds.
    pub(crate) fn of(chain: &Chain, set: impl Fn(&Name) -> Option<SetState<'a>>) -> Self {
        let mut permissions = Self::default();
        for rule in &chain.rules {
            let sets = rule.statements.iter().filter_map(looked_up);
            let sets: Vec<SetState<'_>> = sets.filter_map(&set).collect();
            if !leads_on(rule) {
                continue;
            }
            match sets[..] {
                [] => permissions.everything = true,
                [set] => permissions.single.push(set),
                _ => permissions.products.push(sets),
            }
        }
        permissions
    }

    /// Whether everything that `other` allows is allowed. It may say no where several elements only
    /// together cover one, or where an interval set is large.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        if self.everything {
            return true;
        }
        let covers_product = |product: &Vec<SetState<'_>>| {
            let covered = |own: &Vec<SetState<'_>>| {
                own.len() == product.len()
                    && own
                        .iter()
                        .zip(product)
                        .all(|(own, other)| holds(&[*own], other))
            };
            self.products.iter().any(covered) || product.iter().any(|set| holds(&self.single, set))
        };
        !other.everything
            && other.single.iter().all(|set| holds(&self.single, set))
            && other.products.iter().all(covers_product)
    }
}

/// Whether each element of `other` is covered by an element of one of the sets. Of a set that is there in both only the
/// elements are looked at in which they differ.
fn holds(sets: &[SetState<'_>], other: &SetState<'_>) -> bool {
    let covered = |element: &Element| sets.iter().any(|set| set.covers(element));
    let same = sets.iter().find(|set| std::ptr::eq(set.set, other.set));
    match same {
        Some(same) => {
            let differing = same.removed.into_iter().chain(other.added).flatten();
            differing
                .filter(|element| other.contains(element))
                .all(covered)
        }
        None => other.iter().all(covered),
    }
}

impl<'a> SetState<'a> {
    /// The set as it is.
    pub(crate) fn plain(set: &'a Set) -> Self {
        Self {
            set,
            removed: None,
            added: None,
        }
    }

    fn contains(&self, element: &Element) -> bool {
        let is_in = |set: Option<&BTreeSet<Element>>| set.is_some_and(|set| set.contains(element));
        (self.set.elements.contains(element) && !is_in(self.removed)) || is_in(self.added)
    }

    fn iter(&self) -> impl Iterator<Item = &'a Element> {
        let removed = self.removed;
        let stays = move |element: &&Element| !removed.is_some_and(|set| set.contains(*element));
        let there = self.set.elements.iter().filter(stays);
        there.chain(self.added.into_iter().flatten())
    }

    /// Whether an element of the set covers this one. A hash can hold only few that would; those of an interval set are
    /// tried from the last that begins before it, and not all of a large one.
    fn covers(&self, element: &Element) -> bool {
        if self.set.key == element.key() && self.contains(element) {
            return true;
        }
        if !self.set.interval {
            let wider = wider(element, self.set.key);
            return wider.is_some_and(|wider| self.contains(&wider));
        }
        let stays = |own: &&Element| self.contains(own);
        let covers = |own: &Element| own.covers(element);
        let start = start(element, self.set.key);
        let there = self.set.elements.range(..=start).rev();
        there.take(MOST_TRIED).filter(stays).any(covers)
            || self
                .added
                .into_iter()
                .flatten()
                .take(MOST_TRIED)
                .any(covers)
    }
}

/// The element of a hash with this key that covers an element of another key, if there can be one.
fn wider(element: &Element, key: Key) -> Option<Element> {
    let Element::PeerPort(part) = element else {
        return None;
    };
    let wider = match key {
        Key::Address(_) => Element::Address(part.peer),
        Key::Port => Element::Port(ProtocolPorts {
            protocol: part.protocol,
            ports: part.ports,
        }),
        Key::Pair(_) | Key::PeerPort(_) | Key::Mark => return None,
    };
    (wider.key() == key).then_some(wider)
}

/// An element of this key behind which, in the order of elements, none covers this one.
fn start(element: &Element, key: Key) -> Element {
    let peer = |range: AddressRange| range.family().onwards(range.last());
    match (element, key) {
        (Element::Address(range), Key::Address(_)) => Element::Address(peer(*range)),
        (Element::PeerPort(part), Key::Address(_)) => Element::Address(peer(part.peer)),
        (Element::PeerPort(part), Key::PeerPort(_)) => Element::PeerPort(PeerPorts {
            peer: peer(part.peer),
            protocol: Protocol::Sctp,
            ports: PortRange::single(u16::MAX),
        }),
        (
            Element::PeerPort(PeerPorts {
                protocol, ports, ..
            })
            | Element::Port(ProtocolPorts { protocol, ports }),
            Key::Port,
        ) => Element::Port(ProtocolPorts {
            protocol: *protocol,
            ports: PortRange::new(ports.last(), u16::MAX).unwrap_or(PortRange::ALL),
        }),
        _ => *element,
    }
}

/// Whether a packet that the rule matches goes to the next stage, and is not only told about.
fn leads_on(rule: &Rule) -> bool {
    matches!(
        rule.statements.last(),
        Some(Statement::Goto(_) | Statement::Accept)
    )
}

/// The set that a statement looks a packet up in.
pub(crate) fn looked_up(statement: &Statement) -> Option<&Name> {
    match statement {
        Statement::InSet { set, .. } | Statement::CtMarkIn { set, .. } => Some(set),
        _ => None,
    }
}

/// The sets that the chain looks packets up in.
pub(crate) fn sets_of(chain: &Chain) -> impl Iterator<Item = &Name> {
    chain
        .rules
        .iter()
        .flat_map(|rule| &rule.statements)
        .filter_map(looked_up)
}
