//! The classes of a node: who is in them, what they are called, and what is known of their sets and chains.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use policy_core::RuleId;
use policy_core::incremental::{SubjectId, SubjectState};

use crate::class::{Grant, Ports};
use crate::class_chain::{Direction, Lookup, Rank, Sets, lookups, own_elements, port_elements};
use crate::class_chain::{ports_stem, stem};
use crate::class_counters::ClassPolicies;
use crate::counted_rules::Count;
use crate::drafts::peers_label;
use crate::element::Element;
use crate::grants::{Form, Permission, Use, grants, peers};
use crate::identity::{Identity, Labels};
use crate::names::Label;

use super::counting::RuleState;
use super::peers::{PeerSets, rank_of, sets_of};

/// A class, by a number that is never given to another one.
pub(super) type ClassNumber = u64;

/// All classes of a node, in both directions.
#[derive(Debug, Default)]
pub(super) struct ClassTable {
    by_number: BTreeMap<ClassNumber, ClassState>,
    numbers: BTreeMap<(Direction, Identity), ClassNumber>,
    labels: BTreeMap<Direction, Labels>,
    of_subject: BTreeMap<(SubjectId, Direction), ClassNumber>,
    given_out: ClassNumber,
}

/// A class as it is.
#[derive(Debug)]
pub(super) struct ClassState {
    pub(super) direction: Direction,
    pub(super) identity: Identity,
    pub(super) label: Label,
    /// The subject classes that are in it: each has the same permissions.
    pub(super) members: BTreeSet<SubjectId>,
    pub(super) form: Form,
    /// How many elements its own sets have.
    pub(super) own: BTreeMap<Rank, usize>,
    /// For each split, the port sets.
    pub(super) ports: Vec<BTreeMap<Rank, usize>>,
    /// What its rules look up.
    pub(super) lookups: Vec<Lookup>,
    /// The rules of its policies that are counted.
    pub(super) rules: BTreeMap<RuleId, RuleState>,
    /// How its chains count them.
    pub(super) counts: Vec<Count>,
}

/// The elements of a class.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) form: Form,
    /// Those of its own sets.
    pub(super) own: BTreeSet<Element>,
    /// For each split, those of its peer sets and those of its port sets.
    pub(super) splits: Vec<(BTreeSet<Element>, BTreeSet<Element>)>,
}

impl ClassTable {
    pub(super) fn get(&self, number: ClassNumber) -> Option<&ClassState> {
        self.by_number.get(&number)
    }

    pub(super) fn get_mut(&mut self, number: ClassNumber) -> Option<&mut ClassState> {
        self.by_number.get_mut(&number)
    }

    /// The class of a subject, where it is isolated.
    pub(super) fn of_subject(&self, id: SubjectId, direction: Direction) -> Option<ClassNumber> {
        self.of_subject.get(&(id, direction)).copied()
    }

    /// The class with an identity, if there is one.
    pub(super) fn number(&self, direction: Direction, identity: &Identity) -> Option<ClassNumber> {
        self.numbers.get(&(direction, identity.clone())).copied()
    }

    /// The classes whose labels may change when a class with this identity comes or goes.
    pub(super) fn rivals(&self, direction: Direction, identity: &Identity) -> Vec<ClassNumber> {
        let labels = self.labels.get(&direction);
        let rivals = labels
            .into_iter()
            .flat_map(|labels| labels.rivals(identity));
        rivals
            .filter_map(|identity| self.number(direction, identity))
            .collect()
    }

    /// Takes a subject out of its class; the class stays, also without members.
    pub(super) fn leave(&mut self, id: SubjectId, direction: Direction) {
        let number = self.of_subject.remove(&(id, direction));
        if let Some(class) = number.and_then(|number| self.by_number.get_mut(&number)) {
            class.members.remove(&id);
        }
    }

    /// Puts a subject into the class with this identity, which is made if there is none; gives its number.
    pub(super) fn join(
        &mut self,
        id: SubjectId,
        direction: Direction,
        identity: &Identity,
    ) -> ClassNumber {
        let known = self.number(direction, identity);
        let number = known.unwrap_or_else(|| self.make(direction, identity));
        if let Some(class) = self.by_number.get_mut(&number) {
            class.members.insert(id);
        }
        self.of_subject.insert((id, direction), number);
        number
    }

    fn make(&mut self, direction: Direction, identity: &Identity) -> ClassNumber {
        let number = self.given_out;
        self.given_out += 1;
        self.labels.entry(direction).or_default().insert(identity);
        self.numbers.insert((direction, identity.clone()), number);
        let class = ClassState {
            direction,
            identity: identity.clone(),
            label: identity.label(),
            members: BTreeSet::new(),
            form: Form::default(),
            own: BTreeMap::new(),
            ports: Vec::new(),
            lookups: Vec::new(),
            rules: BTreeMap::new(),
            counts: Vec::new(),
        };
        self.by_number.insert(number, class);
        number
    }

    /// Forgets a class without members.
    pub(super) fn drop_empty(&mut self, number: ClassNumber) {
        let Some(class) = self.by_number.get(&number) else {
            return;
        };
        if !class.members.is_empty() {
            return;
        }
        let (direction, identity) = (class.direction, class.identity.clone());
        if let Some(labels) = self.labels.get_mut(&direction) {
            labels.remove(&identity);
        }
        self.numbers.remove(&(direction, identity));
        self.by_number.remove(&number);
    }

    /// Gives a class the label that it has beside the others.
    pub(super) fn relabel(&mut self, number: ClassNumber) {
        let Some(class) = self.by_number.get_mut(&number) else {
            return;
        };
        if let Some(labels) = self.labels.get(&class.direction) {
            class.label = labels.of(&class.identity);
        }
    }

    /// The policies of each class.
    pub(super) fn policies(&self) -> ClassPolicies {
        let classes = self.by_number.values();
        let policies = classes.map(|class| {
            let key = (class.direction, class.label.clone());
            (key, class.identity.policies.clone())
        });
        policies.collect()
    }

    /// The number of classes.
    pub(super) fn count(&self) -> usize {
        self.by_number.len()
    }
}

impl ClassState {
    /// The label of the peer set that a split has for itself.
    pub(super) fn peers_label(&self, number: usize) -> Label {
        peers_label(self.direction, number, &self.label)
    }

    pub(super) fn stem(&self) -> String {
        stem(self.direction, &self.label)
    }

    pub(super) fn ports_stem(&self, number: usize) -> String {
        ports_stem(self.direction, number, &self.label)
    }

    /// What the rules of the class look up now.
    pub(super) fn lookups_now(&self, peer_sets: &PeerSets) -> Vec<Lookup> {
        if self.form.is_open {
            return vec![Lookup::Everything];
        }
        let splits = self.ports.iter().enumerate().map(|(number, ports)| {
            let ports = sets_of(&self.ports_stem(number), ports.keys());
            (peer_sets.sets(&self.peers_label(number)), Some(ports))
        });
        let splits: Vec<(Sets, Option<Sets>)> = splits.collect();
        lookups(sets_of(&self.stem(), self.own.keys()), splits)
    }
}

impl Contents {
    /// The elements of a class with these permissions.
    pub(super) fn of(permissions: &[Permission<'_>]) -> Self {
        let form = Form::of_all(permissions);
        // Which labels peer sets have makes no difference to the elements.
        let grants = grants(permissions, &form, |number| {
            Label::fixed("peers").numbered('n', number)
        });
        let ports = grants.iter().filter_map(|grant| match grant {
            Grant::Shared {
                ports: Ports::Only(ports),
                ..
            } => Some(port_elements(ports).collect()),
            _ => None,
        });
        let splits = (0..).zip(ports).map(|(number, ports)| {
            let peers = split_peers(permissions, &form, number);
            (peers, ports)
        });
        Self {
            own: own_elements(&grants),
            splits: splits.collect(),
            form,
        }
    }
}

/// The elements of the peer sets of a split.
pub(super) fn split_peers(
    permissions: &[Permission<'_>],
    form: &Form,
    number: usize,
) -> BTreeSet<Element> {
    let mut with_use = permissions.iter().zip(&form.uses);
    let split = with_use.find(|(_, form)| **form == Use::Split(number));
    let peers = split.map(|(permission, _)| peers(permission));
    peers.into_iter().flatten().map(Element::Address).collect()
}

/// How many elements of each rank there are.
pub(super) fn ranks(elements: &BTreeSet<Element>) -> BTreeMap<Rank, usize> {
    let mut ranks = BTreeMap::new();
    for element in elements {
        *ranks.entry(rank_of(element)).or_default() += 1;
    }
    ranks
}

/// The permissions of a subject in one direction.
pub(super) fn permissions(subject: &SubjectState, direction: Direction) -> Vec<Permission<'_>> {
    let of_direction = subject
        .permissions
        .iter()
        .filter(|(key, _)| key.direction == direction.into());
    of_direction
        .map(|(key, peers)| Permission {
            everyone: key.everyone,
            ports: &key.ports,
            blocks: &peers.blocks,
            addresses: Cow::Borrowed(&peers.addresses),
        })
        .collect()
}
