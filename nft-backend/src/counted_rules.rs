//! The sets of a rule whose packets are counted, and the lookups in them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy_core::RuleId;

use crate::class::{CountedRule, Grant, Ports};
use crate::class_chain::{Direction, Lookup, Sets, lookups, own_elements, port_elements};
use crate::element::Element;
use crate::grants::{Form, Permission, Use, grants, of_address, peers};
use crate::names::{Label, Name};
use crate::rule_counters;
use crate::value::AddressRange;

/// A rule as a class's chains count it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Count {
    /// The counter.
    pub(crate) counter: Name,
    /// What it counts; a packet matches at most one of these.
    pub(crate) lookups: Vec<Lookup>,
}

/// The sets that a counted rule has: those of its elements, of its peers and of its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Elements,
    Peers,
    Ports,
}

impl Part {
    pub(crate) const ALL: [Self; 3] = [Self::Elements, Self::Peers, Self::Ports];

    /// What the names of these sets of the `number`th counted rule of a class begin with.
    pub(crate) fn stem(self, direction: Direction, number: usize, class: &Label) -> String {
        let word = match self {
            Self::Elements => "",
            Self::Peers => "p",
            Self::Ports => "q",
        };
        format!("{}{KEPT}{number}{word}_{class}", direction.letter())
    }
}

/// The letter in the names of sets that only count.
const KEPT: char = 'k';

/// Whether packets are only counted by the set of this name, and nothing is decided by it.
pub(crate) fn is_counting(set: &Name) -> bool {
    let rest = set.as_str().strip_prefix(['i', 'e']);
    rest.is_some_and(|rest| rest.starts_with(KEPT))
}

impl CountedRule {
    /// The rule with what these permissions, which are its alone, admit.
    pub(crate) fn of(rule: RuleId, permissions: &[Permission<'_>]) -> Self {
        let form = form(permissions);
        // The peers come beside and need no label.
        let grants = grants(permissions, &form, |_| Label::fixed("peers"));
        let ports = grants.iter().find_map(|grant| match grant {
            Grant::Shared {
                ports: Ports::Only(ports),
                ..
            } => Some(port_elements(ports).collect()),
            _ => None,
        });
        let split = permissions
            .iter()
            .zip(&form.uses)
            .find(|(_, part)| matches!(part, Use::Split(_)));
        let peers = split
            .filter(|_| !form.is_open)
            .map(|(split, _)| peers(split));
        Self {
            rule,
            everything: form.is_open,
            elements: own_elements(&grants),
            peers: peers.into_iter().flatten().map(Element::Address).collect(),
            ports: ports.unwrap_or_default(),
        }
    }

    /// The elements of a part.
    pub(crate) fn part(&self, part: Part) -> &BTreeSet<Element> {
        match part {
            Part::Elements => &self.elements,
            Part::Peers => &self.peers,
            Part::Ports => &self.ports,
        }
    }
}

/// The form of these permissions of one rule.
pub(crate) fn form(permissions: &[Permission<'_>]) -> Form {
    let counted = permissions.iter();
    Form::of_rule(counted.map(|permission| (permission, permission.addresses.len())))
}

/// What a rule with these permissions has on account of one address of a pod, by part.
pub(crate) fn of_pod(
    permissions: &[Permission<'_>],
    form: &Form,
    address: IpAddr,
) -> BTreeMap<Part, BTreeSet<Element>> {
    let (elements, splits) = of_address(permissions, form, address);
    let range = AddressRange::single(address);
    let peers = splits.iter().map(|_| Element::Address(range));
    BTreeMap::from([
        (Part::Elements, elements.into_iter().collect()),
        (Part::Peers, peers.collect()),
    ])
}

/// How a rule is counted that has these sets.
pub(crate) fn count(rule: &RuleId, everything: bool, [own, peers, ports]: [Sets; 3]) -> Count {
    let lookups = if everything {
        vec![Lookup::Everything]
    } else {
        lookups(own, vec![(peers, Some(ports))])
    };
    Count {
        counter: rule_counters::name(rule),
        lookups,
    }
}
