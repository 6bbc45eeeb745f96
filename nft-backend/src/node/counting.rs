//! The counted rules of a class: what of their elements a batch changes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy_core::RuleId;
use policy_core::incremental::{
    PermissionKey, PermissionPeers, RuleChange, SubjectChange, SubjectId, SubjectState,
};

use crate::class::CountedRule;
use crate::class_chain::{Direction, Rank};
use crate::config::Config;
use crate::counted_rules::{Count, Part, count, form, of_pod};
use crate::element::Element;
use crate::grants::{Form, Permission};
use crate::names::{Label, Name};
use crate::rule_counters;

use super::Node;
use super::addresses::Moved;
use super::classes::{ClassNumber, ClassState, ranks};
use super::peers::{SplitChange, add_to, recount, sets_of};
use super::tally::Tally;

/// A counted rule of a class as it is.
#[derive(Debug)]
pub(super) struct RuleState {
    form: Form,
    /// How many elements each part's sets have.
    parts: BTreeMap<Part, BTreeMap<Rank, usize>>,
}

/// How many classes count with each counter of a rule.
#[derive(Debug, Default)]
pub(super) struct Users(BTreeMap<Name, usize>);

/// What the counted rules of a class had before a batch, as far as it can change.
pub(super) enum Former {
    /// The class is new.
    Nowhere,
    /// Only these addresses can make a difference: their elements, by rule.
    But(BTreeMap<RuleId, BTreeMap<IpAddr, Elements>>),
    /// All of them.
    Whole(Vec<CountedRule>),
}

impl Former {
    /// Whether nothing can change.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::But(rules) if rules.is_empty())
    }
}

/// Elements by part.
type Elements = BTreeMap<Part, BTreeSet<Element>>;

impl Users {
    /// Whether any class counts with it.
    pub(super) fn has(&self, counter: &Name) -> bool {
        self.0.contains_key(counter)
    }

    fn join(&mut self, rule: &RuleId, tally: &mut Tally) {
        let counter = rule_counters::name(rule);
        tally.rule_counter(counter.clone(), self.has(&counter));
        *self.0.entry(counter).or_default() += 1;
    }

    fn leave(&mut self, rule: &RuleId, tally: &mut Tally) {
        let counter = rule_counters::name(rule);
        tally.rule_counter(counter.clone(), self.has(&counter));
        if let Some(users) = self.0.get_mut(&counter) {
            *users -= 1;
            if *users == 0 {
                self.0.remove(&counter);
            }
        }
    }
}

/// The counted rules of a subject's class; none where rules are not counted.
pub(super) fn counted(
    config: &Config,
    subject: &SubjectState,
    direction: Direction,
) -> Vec<CountedRule> {
    let rules = subject.rules.iter();
    let here = rules.filter(|(rule, _)| config.rule_counters && is_here(rule, direction));
    here.map(|(rule, parts)| CountedRule::of(rule.clone(), &permissions(parts)))
        .collect()
}

/// How the chains of a class count its rules.
pub(super) fn counts(class: &ClassState) -> Vec<Count> {
    let rules = class.rules.iter().enumerate();
    let counts = rules.map(|(number, (rule, state))| {
        let sets = Part::ALL.map(|part| {
            let stem = part.stem(class.direction, number, &class.label);
            let ranks = state.parts.get(&part).into_iter().flat_map(BTreeMap::keys);
            sets_of(&stem, ranks)
        });
        count(rule, state.form.is_open, sets)
    });
    counts.collect()
}

/// Whether a change is about rules of the direction.
pub(super) fn is_about(change: &SubjectChange, direction: Direction) -> bool {
    change.rules.keys().any(|rule| is_here(rule, direction))
}

/// How the rules of a class stand before a batch that the subject `stays` in the class for, if any does.
pub(super) fn before(
    node: &Node,
    class: &ClassState,
    stays: Option<SubjectId>,
    change: Option<&SubjectChange>,
) -> Former {
    if !node.config.rule_counters {
        return Former::But(BTreeMap::new());
    }
    let by_address = stays.and_then(|id| by_address(node, class, id, change));
    by_address.map_or_else(
        || {
            let first = class.members.first();
            let subject = first.and_then(|id| node.state.subjects.get(id));
            let counted = subject.map(|subject| counted(&node.config, subject, class.direction));
            Former::Whole(counted.unwrap_or_default())
        },
        Former::But,
    )
}

/// The elements that can change, when only addresses of rules do; `None` when more does.
fn by_address(
    node: &Node,
    class: &ClassState,
    id: SubjectId,
    change: Option<&SubjectChange>,
) -> Option<BTreeMap<RuleId, BTreeMap<IpAddr, Elements>>> {
    let subject = node.state.subjects.get(&id)?;
    let changes = change.into_iter().flat_map(|change| &change.rules);
    let here = changes.filter(|(rule, _)| is_here(rule, class.direction));
    let of_rule = |(rule, change): (&RuleId, &RuleChange)| {
        let RuleChange::There(changes) = change else {
            return None;
        };
        let (parts, state) = (subject.rules.get(rule)?, class.rules.get(rule)?);
        let moved = Moved::by(parts, changes, class.direction)?;
        let permissions = permissions(parts);
        if Form::of_rule(permissions.iter().zip(moved.counts)) != state.form {
            return None;
        }
        let addresses = moved.addresses.into_iter();
        let elements =
            addresses.map(|address| (address, of_pod(&permissions, &state.form, address)));
        Some((rule.clone(), elements.collect()))
    };
    here.map(of_rule).collect()
}

/// Adds what becomes of the rules of a class that had this label to `tally`.
pub(super) fn update(
    node: &mut Node,
    number: ClassNumber,
    label: Option<(Direction, &Label)>,
    former: Former,
    tally: &mut Tally,
) {
    match former {
        Former::But(addresses) => of_addresses(node, number, &addresses, tally),
        Former::Whole(rules) => {
            if let Some((direction, label)) = label {
                leave(node, direction, label, rules, tally);
            }
            arrive(node, number, tally);
        }
        Former::Nowhere => arrive(node, number, tally),
    }
}

fn of_addresses(
    node: &mut Node,
    number: ClassNumber,
    addresses: &BTreeMap<RuleId, BTreeMap<IpAddr, Elements>>,
    tally: &mut Tally,
) {
    let Some(class) = node.classes.get_mut(number) else {
        return;
    };
    let first = class.members.first();
    let Some(subject) = first.and_then(|id| node.state.subjects.get(id)) else {
        return;
    };
    for (place, (rule, state)) in class.rules.iter_mut().enumerate() {
        let (Some(addresses), Some(parts)) = (addresses.get(rule), subject.rules.get(rule)) else {
            continue;
        };
        let permissions = permissions(parts);
        let mut changes: BTreeMap<Part, SplitChange> = BTreeMap::new();
        for (&address, former) in addresses {
            for (part, elements) in of_pod(&permissions, &state.form, address) {
                let change = changes.entry(part).or_default();
                let former = former.get(&part).cloned().unwrap_or_default();
                change.removed.extend(&former - &elements);
                change.added.extend(&elements - &former);
            }
        }
        for (part, change) in changes {
            let stem = part.stem(class.direction, place, &class.label);
            let ranks = state.parts.entry(part).or_default();
            let now = recount(ranks, &change);
            add_to(tally, &stem, ranks, change.removed, change.added);
            *ranks = now;
        }
    }
}

/// The rules of a class go.
fn leave(
    node: &mut Node,
    direction: Direction,
    label: &Label,
    rules: Vec<CountedRule>,
    tally: &mut Tally,
) {
    for (place, rule) in rules.into_iter().enumerate() {
        node.rule_users.leave(&rule.rule, tally);
        for part in Part::ALL {
            let (stem, elements) = (part.stem(direction, place, label), rule.part(part).clone());
            add_to(tally, &stem, &ranks(&elements), elements, BTreeSet::new());
        }
    }
}

/// The rules of a class come.
fn arrive(node: &mut Node, number: ClassNumber, tally: &mut Tally) {
    let Some(class) = node.classes.get_mut(number) else {
        return;
    };
    let first = class.members.first();
    let subject = first.and_then(|id| node.state.subjects.get(id));
    let rules = subject.map(|subject| counted(&node.config, subject, class.direction));
    class.rules.clear();
    for (place, rule) in rules.into_iter().flatten().enumerate() {
        node.rule_users.join(&rule.rule, tally);
        let mut parts = BTreeMap::new();
        for part in Part::ALL {
            let (stem, elements) = (
                part.stem(class.direction, place, &class.label),
                rule.part(part).clone(),
            );
            parts.insert(part, ranks(&elements));
            add_to(tally, &stem, &BTreeMap::new(), BTreeSet::new(), elements);
        }
        let parts_now = subject.and_then(|subject| subject.rules.get(&rule.rule));
        let form = parts_now.map(|parts| form(&permissions(parts)));
        let form = form.unwrap_or_default();
        class.rules.insert(rule.rule, RuleState { form, parts });
    }
}

fn is_here(rule: &RuleId, direction: Direction) -> bool {
    rule.direction == direction.into()
}

/// What a rule admits.
fn permissions(parts: &BTreeMap<PermissionKey, PermissionPeers>) -> Vec<Permission<'_>> {
    let parts = parts.iter().map(|(key, peers)| Permission {
        everyone: key.everyone,
        ports: &key.ports,
        blocks: &peers.blocks,
        addresses: Cow::Borrowed(&peers.addresses),
    });
    parts.collect()
}
