//! Takes one batch of changes over.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy_core::incremental::{Changes, SubjectChange, SubjectId};

use crate::class_chain::{Direction, Head, Lookup, ports_stem, stem};
use crate::counted_rules::Count;
use crate::delta::Delta;
use crate::drafts::peers_label;
use crate::element::Element;
use crate::grants::{Form, of_address};
use crate::layout::class_chains;
use crate::names::Label;
use crate::value::AddressRange;

use super::Node;
use super::addresses::Moved;
use super::classes::{ClassNumber, ClassState, Contents, permissions, ranks, split_peers};
use super::counting::{self, Former};
use super::dispatch::{self, Touched};
use super::moves::{Move, moves};
use super::peers::{SplitChange, add_to, recount};
use super::tally::Tally;

/// How a class stood before the batch.
struct Before {
    stands: Stands,
    rules: Former,
}

/// What the chains of a class follow from.
#[derive(PartialEq, Eq)]
struct Chains {
    direction: Direction,
    label: Label,
    audited: bool,
    lookups: Vec<Lookup>,
    counts: Vec<Count>,
}

impl Chains {
    fn of(class: &ClassState) -> Self {
        Self {
            direction: class.direction,
            label: class.label.clone(),
            audited: class.identity.is_audited,
            lookups: class.lookups.clone(),
            counts: class.counts.clone(),
        }
    }
}

/// The elements of a class before the batch, as far as they can change.
enum Stands {
    /// The class is new.
    Nowhere,
    /// Only these addresses can make a difference: their elements, in the class's own sets and by split. The class keeps
    /// its label.
    But(BTreeMap<IpAddr, (Vec<Element>, Vec<usize>)>),
    /// All of them.
    Whole(Chains, Contents),
}

/// Takes the changes over and gives what they change, without digests.
pub(super) fn take(node: &mut Node, changes: &Changes) -> Delta {
    let moves = moves(node, changes);
    let (mut before, relabelled) = before(node, changes, &moves);
    let touched = touched(node, changes, &moves, &relabelled);
    let places = dispatch::places(node, &touched);
    let was_contested = !node.state.contested.is_empty();
    let was_isolating = node.isolates();

    node.state.take(changes);
    for Move { id, direction, .. } in &moves {
        node.classes.leave(*id, *direction);
    }
    for Move { id, direction, to } in &moves {
        if let Some(identity) = to {
            let number = node.classes.join(*id, *direction, identity);
            before.entry(number).or_insert_with(Before::nowhere);
        }
    }
    for &number in before.keys() {
        node.classes.drop_empty(number);
    }
    for (&number, before) in &before {
        if !matches!(before.stands, Stands::But(_)) {
            node.classes.relabel(number);
        }
    }

    let mut tally = Tally::default();
    let places_now = dispatch::places(node, &touched);
    dispatch::compare(&node.config, &places, &places_now, &mut tally);
    dispatch::link_local(was_isolating, node.isolates(), &mut tally);
    if was_contested == node.state.contested.is_empty() {
        dispatch::contested_chains(&node.config, was_contested, !was_contested, &mut tally);
    }
    let mut splits = BTreeMap::new();
    let mut chains: BTreeMap<ClassNumber, Option<Chains>> = BTreeMap::new();
    for (number, Before { stands, rules }) in before {
        let stood = match stands {
            Stands::But(former) => {
                let has_same_sets = of_addresses(node, number, &former, &mut splits, &mut tally);
                if has_same_sets && rules.is_nothing() {
                    continue;
                }
                node.classes.get(number).map(Chains::of)
            }
            Stands::Whole(stood, contents) => {
                leave(&stood, contents, &mut splits, &mut tally);
                arrive(node, number, &mut splits, &mut tally);
                Some(stood)
            }
            Stands::Nowhere => {
                arrive(node, number, &mut splits, &mut tally);
                None
            }
        };
        let label = stood.as_ref();
        let label = label.map(|stood| (stood.direction, &stood.label));
        counting::update(node, number, label, rules, &mut tally);
        chains.insert(number, stood);
    }
    let peers = |(number, split): (ClassNumber, usize)| {
        let class = node.classes.get(number);
        let peers = class.and_then(|class| {
            let subject = node.state.subjects.get(class.members.first()?)?;
            let permissions = permissions(subject, class.direction);
            Some(split_peers(&permissions, &class.form, split))
        });
        peers.unwrap_or_default()
    };
    let others = node.peer_sets.update(splits, peers, &mut tally);
    for number in others {
        let unchanged = || node.classes.get(number).map(Chains::of);
        chains.entry(number).or_insert_with(unchanged);
    }
    for (number, before) in chains {
        rules(node, number, before, &mut tally);
    }
    tally.into_delta(&node.rule_users)
}

/// How the classes stand that the batch may change, and which of them may get another label.
fn before(
    node: &Node,
    changes: &Changes,
    moves: &[Move],
) -> (BTreeMap<ClassNumber, Before>, BTreeSet<ClassNumber>) {
    let mut leaving: BTreeMap<ClassNumber, BTreeSet<SubjectId>> = BTreeMap::new();
    let mut joined: BTreeSet<ClassNumber> = BTreeSet::new();
    let mut relabelled = BTreeSet::new();
    for Move { id, direction, to } in moves {
        if let Some(from) = node.classes.of_subject(*id, *direction) {
            leaving.entry(from).or_default().insert(*id);
        }
        let Some(identity) = to else { continue };
        match node.classes.number(*direction, identity) {
            Some(number) => {
                joined.insert(number);
            }
            None => relabelled.extend(node.classes.rivals(*direction, identity)),
        }
    }
    for (number, subjects) in &leaving {
        let class = node.classes.get(*number);
        if let Some(class) = class.filter(|class| class.members.len() == subjects.len()) {
            relabelled.extend(node.classes.rivals(class.direction, &class.identity));
        }
    }
    let mut numbers: BTreeSet<ClassNumber> = leaving.keys().copied().collect();
    numbers.extend(joined);
    numbers.extend(&relabelled);
    for (&id, change) in &changes.subjects {
        for direction in Direction::ALL {
            let mut keys = change.permissions.keys();
            if keys.any(|key| key.direction == direction.into())
                || counting::is_about(change, direction)
            {
                numbers.extend(node.classes.of_subject(id, direction));
            }
        }
    }
    let stand = |number: ClassNumber| {
        let class = node.classes.get(number)?;
        let leaving = leaving.get(&number);
        let is_staying = |id: &&SubjectId| !leaving.is_some_and(|leaving| leaving.contains(id));
        let stays = class.members.iter().find(is_staying);
        let stays = stays.filter(|_| !relabelled.contains(&number));
        let change = stays.and_then(|id| changes.subjects.get(id));
        let stands = stays
            .and_then(|id| by_address(node, class, *id, change))
            .unwrap_or_else(|| whole(node, class));
        Some(Before {
            stands,
            rules: counting::before(node, class, stays.copied(), change),
        })
    };
    let stands = numbers.into_iter();
    let stands = stands.filter_map(|number| Some((number, stand(number)?)));
    (stands.collect(), relabelled)
}

/// The elements that can change, when only addresses of permissions do; `None` when more does.
fn by_address(
    node: &Node,
    class: &ClassState,
    id: SubjectId,
    change: Option<&SubjectChange>,
) -> Option<Stands> {
    let Some(change) = change else {
        return Some(Stands::But(BTreeMap::new()));
    };
    let subject = node.state.subjects.get(&id)?;
    let moved = Moved::by(&subject.permissions, &change.permissions, class.direction)?;
    let permissions = permissions(subject, class.direction);
    if Form::of(permissions.iter().zip(moved.counts)) != class.form {
        return None;
    }
    let elements = |address| (address, of_address(&permissions, &class.form, address));
    let addresses = moved.addresses.into_iter();
    Some(Stands::But(addresses.map(elements).collect()))
}

fn whole(node: &Node, class: &ClassState) -> Stands {
    let subject = class
        .members
        .first()
        .and_then(|id| node.state.subjects.get(id));
    let contents = subject.map(|subject| Contents::of(&permissions(subject, class.direction)));
    Stands::Whole(Chains::of(class), contents.unwrap_or_default())
}

/// The addresses whose dispatch the batch may change.
fn touched(
    node: &Node,
    changes: &Changes,
    moves: &[Move],
    relabelled: &BTreeSet<ClassNumber>,
) -> Touched {
    let mut touched = Touched {
        contested: changes.contested.keys().copied().collect(),
        ..Touched::default()
    };
    touched.subjects.extend(&changes.vanished);
    touched
        .subjects
        .extend(moves.iter().map(|change| change.id));
    let classes = relabelled
        .iter()
        .filter_map(|number| node.classes.get(*number));
    touched
        .subjects
        .extend(classes.flat_map(|class| &class.members));
    for (id, change) in &changes.subjects {
        if change.appeared {
            touched.subjects.insert(*id);
        } else if !change.added.is_empty() || !change.removed.is_empty() {
            let addresses = change.added.iter().chain(&change.removed).copied();
            let of_subject = touched.addresses.entry(*id).or_default();
            of_subject.extend(addresses);
        }
    }
    touched
}

impl Before {
    fn nowhere() -> Self {
        Self {
            stands: Stands::Nowhere,
            rules: Former::Nowhere,
        }
    }
}

/// Adds what becomes of the elements of a class on account of addresses: of its own sets to `tally`, of its peer sets to
/// `splits`. Tells whether the class has the same sets of its own afterwards.
fn of_addresses(
    node: &mut Node,
    number: ClassNumber,
    former: &BTreeMap<IpAddr, (Vec<Element>, Vec<usize>)>,
    splits: &mut BTreeMap<Label, SplitChange>,
    tally: &mut Tally,
) -> bool {
    let Some(class) = node.classes.get_mut(number) else {
        return true;
    };
    let subject = class
        .members
        .first()
        .and_then(|id| node.state.subjects.get(id));
    let Some(permissions) = subject.map(|subject| permissions(subject, class.direction)) else {
        return true;
    };
    let mut own = SplitChange::default();
    for (&address, (elements, numbers)) in former {
        let (elements_now, numbers_now) = of_address(&permissions, &class.form, address);
        own.removed.extend(elements);
        own.added.extend(elements_now);
        let element = Element::Address(AddressRange::single(address));
        for number_before in numbers
            .iter()
            .filter(|number| !numbers_now.contains(number))
        {
            let split = splits.entry(class.peers_label(*number_before)).or_default();
            split.owner = Some((number, *number_before));
            split.removed.insert(element);
        }
        for number_now in numbers_now
            .iter()
            .filter(|number| !numbers.contains(number))
        {
            let split = splits.entry(class.peers_label(*number_now)).or_default();
            split.owner = Some((number, *number_now));
            split.added.insert(element);
        }
    }
    own.settle();
    let ranks = recount(&class.own, &own);
    let has_same_sets = ranks.keys().eq(class.own.keys());
    add_to(tally, &class.stem(), &class.own, own.removed, own.added);
    class.own = ranks;
    has_same_sets
}

/// The elements of a class go.
fn leave(
    chains: &Chains,
    contents: Contents,
    splits: &mut BTreeMap<Label, SplitChange>,
    tally: &mut Tally,
) {
    let (direction, label) = (chains.direction, &chains.label);
    let mut remove = |stem: &str, elements: BTreeSet<Element>| {
        add_to(tally, stem, &ranks(&elements), elements, BTreeSet::new());
    };
    remove(&stem(direction, label), contents.own);
    for (number, (peers, ports)) in contents.splits.into_iter().enumerate() {
        remove(&ports_stem(direction, number, label), ports);
        let split = splits
            .entry(peers_label(direction, number, label))
            .or_default();
        split.removed.extend(peers);
    }
}

/// The elements of a class come.
fn arrive(
    node: &mut Node,
    number: ClassNumber,
    splits: &mut BTreeMap<Label, SplitChange>,
    tally: &mut Tally,
) {
    let Some(class) = node.classes.get_mut(number) else {
        return;
    };
    let subject = class
        .members
        .first()
        .and_then(|id| node.state.subjects.get(id));
    let contents = subject.map(|subject| Contents::of(&permissions(subject, class.direction)));
    let contents = contents.unwrap_or_default();
    class.form = contents.form;
    class.own = ranks(&contents.own);
    class.ports = contents
        .splits
        .iter()
        .map(|(_, ports)| ranks(ports))
        .collect();
    let nothing = BTreeMap::new();
    let mut add = |stem: &str, elements: BTreeSet<Element>| {
        add_to(tally, stem, &nothing, BTreeSet::new(), elements);
    };
    add(&class.stem(), contents.own);
    for (split, (peers, ports)) in contents.splits.into_iter().enumerate() {
        add(&class.ports_stem(split), ports);
        let change = splits.entry(class.peers_label(split)).or_default();
        change.owner = Some((number, split));
        change.added.extend(peers);
    }
}

/// Adds what becomes of the chains of a class, and keeps what they look up.
fn rules(node: &mut Node, number: ClassNumber, before: Option<Chains>, tally: &mut Tally) {
    let class = node.classes.get_mut(number);
    let now = class.map(|class| {
        class.lookups = class.lookups_now(&node.peer_sets);
        class.counts = counting::counts(class);
        Chains::of(class)
    });
    if before == now {
        return;
    }
    let of = |chains: Option<Chains>| {
        let chains = chains.into_iter();
        let made = chains.flat_map(
            |Chains {
                 direction,
                 label,
                 audited,
                 lookups,
                 counts,
             }|
             -> Vec<_> {
                let head = Head {
                    label: &label,
                    counts: &counts,
                    audited,
                    comment: &[],
                };
                class_chains(&node.config, direction, &head, &lookups).collect()
            },
        );
        made.collect::<Vec<_>>()
    };
    for (name, chain) in of(before) {
        tally.chain_before(name, chain);
    }
    for (name, chain) in of(now) {
        tally.chain_after(name, chain);
    }
}
