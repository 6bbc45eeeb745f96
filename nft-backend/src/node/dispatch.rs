//! Which classes decide about an address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy_core::incremental::SubjectId;

use crate::class_chain::{Direction, Head};
use crate::config::Config;
use crate::element::Element;
use crate::layout::{class_chains, class_entries, self_set};
use crate::link_local;
use crate::names::{CONTESTED, LINK_LOCAL, Label, Name};
use crate::value::Family;

use super::Node;
use super::tally::Tally;

/// The addresses that a batch may change something about: of these subjects all, and these besides.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) subjects: BTreeSet<SubjectId>,
    pub(super) addresses: BTreeMap<SubjectId, BTreeSet<IpAddr>>,
    pub(super) contested: BTreeSet<IpAddr>,
}

/// The class of an address in each direction, in the order of [`Direction::ALL`].
type Places = BTreeMap<IpAddr, [Option<Label>; 2]>;

/// Where the touched addresses that are known to the node go at the moment.
pub(super) fn places(node: &Node, touched: &Touched) -> Places {
    let mut places = Places::new();
    let label = |id, direction| {
        let class = node.classes.get(node.classes.of_subject(id, direction)?)?;
        Some(class.label.clone())
    };
    for &id in &touched.subjects {
        let Some(subject) = node.state.subjects.get(&id) else {
            continue;
        };
        let labels = Direction::ALL.map(|direction| label(id, direction));
        let addresses = subject.addresses.iter();
        places.extend(addresses.map(|address| (*address, labels.clone())));
    }
    for (&id, addresses) in &touched.addresses {
        let Some(subject) = node.state.subjects.get(&id) else {
            continue;
        };
        let labels = Direction::ALL.map(|direction| label(id, direction));
        let there = addresses
            .iter()
            .filter(|address| subject.addresses.contains(address));
        places.extend(there.map(|address| (*address, labels.clone())));
    }
    let contested = touched.contested.iter();
    for address in contested.filter(|address| node.state.contested.contains_key(address)) {
        let label = Some(Label::fixed(CONTESTED));
        places.insert(*address, [label.clone(), label]);
    }
    places
}

/// Adds to `tally` what becomes of addresses that went to the classes `before` and go to the classes `after`.
pub(super) fn compare(config: &Config, before: &Places, after: &Places, tally: &mut Tally) {
    for (address, labels) in before {
        for (map, chain) in entries(config, *address, labels) {
            tally.entry_before(map, *address, chain);
        }
    }
    for (address, labels) in after {
        for (map, chain) in entries(config, *address, labels) {
            tally.entry_after(map, *address, chain);
        }
    }
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (before.keys().collect(), after.keys().collect());
    for &address in old.symmetric_difference(&new) {
        let pair = Element::Pair(*address, *address);
        let set = self_set(Family::of(*address));
        tally.standing(set, (false, pair.key()), pair, new.contains(address));
    }
}

/// Closes link-local addresses with the node's first isolated pod, and opens them with the last.
pub(super) fn link_local(was_isolating: bool, is_isolating: bool, tally: &mut Tally) {
    if was_isolating != is_isolating {
        let set = Name::fixed(LINK_LOCAL);
        tally.standing(set, link_local::KIND, link_local::range(), is_isolating);
    }
}

fn entries<'a>(
    config: &'a Config,
    address: IpAddr,
    labels: &'a [Option<Label>; 2],
) -> impl Iterator<Item = (Name, Name)> + 'a {
    let by_direction = Direction::ALL.into_iter().zip(labels);
    let isolated = by_direction.filter_map(|(direction, label)| Some((direction, label.as_ref()?)));
    isolated.flat_map(move |(direction, label)| class_entries(config, direction, address, label))
}

/// Adds the chains of the class without permissions, which is there while any address is contested.
pub(super) fn contested_chains(config: &Config, was: bool, is: bool, tally: &mut Tally) {
    for direction in Direction::ALL {
        let label = Label::fixed(CONTESTED);
        let head = Head {
            label: &label,
            counts: &[],
            audited: false,
            comment: &[],
        };
        for (name, chain) in class_chains(config, direction, &head, &[]) {
            if was {
                tally.chain_before(name.clone(), chain.clone());
            }
            if is {
                tally.chain_after(name, chain);
            }
        }
    }
}
