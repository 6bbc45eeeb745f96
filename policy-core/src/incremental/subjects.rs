//! The subject classes of the node, and what changed of them.

use super::changes::{
    Changes, PermissionChange, PermissionKey, PermissionPeers, RuleChange, SubjectChange, SubjectId,
};
use super::groups::Groups;
use super::peer_sets::PeerSets;
use super::permissions::{Permission, Permissions};
use super::population::{Population, Standing};
use crate::cluster::ContainerPort;
use crate::compile::{SubjectKey, has_named_ingress};
use crate::flow::Direction;
use crate::inventory::ClassId;
use crate::isolation::Isolation;
use crate::policy::{Policy, PolicyId};
use crate::rules::RuleId;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// The addresses that a batch touched: whose each was, and whose it is.
pub(super) type Moves = BTreeMap<IpAddr, (Standing, Standing)>;

/// The subject classes by number.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    by_id: BTreeMap<SubjectId, Subject>,
    by_key: BTreeMap<SubjectKey, SubjectId>,
    of_class: FxHashMap<ClassId, SubjectId>,
    given_out: u64,
    /// Whether changes tell what each rule admits by itself.
    pub(super) with_rules: bool,
}

/// Pods that the same policies isolate, and whose named ports these policies resolve alike.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) key: SubjectKey,
    pub(super) classes: BTreeSet<ClassId>,
    pub(super) permissions: Permissions,
    addresses: BTreeSet<IpAddr>,
    isolated_by: BTreeMap<Direction, BTreeSet<PolicyId>>,
    audited: BTreeSet<Direction>,
    named_ports: Vec<ContainerPort>,
    is_reported: bool,
}

/// The subjects that a batch may have changed, and how.
#[derive(Debug, Default)]
pub(super) struct Affected {
    /// They may have other permissions.
    pub(super) remade: BTreeSet<SubjectId>,
    /// They may have other pods, or these other addresses.
    pub(super) peopled: BTreeSet<SubjectId>,
    /// The peers of their permissions may have other addresses.
    pub(super) passed: BTreeSet<SubjectId>,
}

/// The tables that subjects are made from.
#[derive(Clone, Copy)]
pub(super) struct Tables<'e> {
    pub(super) population: &'e Population,
    pub(super) groups: &'e Groups,
    pub(super) sets: &'e PeerSets,
}

impl Subjects {
    /// The subject of a class.
    pub(super) fn of_class(&self, class: ClassId) -> Option<SubjectId> {
        self.of_class.get(&class).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Subject> {
        self.by_id.values()
    }

    /// Files classes under the subjects that they belong to now. A subject whose classes all move on keeps its number.
    pub(super) fn regroup(&mut self, classes: &BTreeSet<ClassId>, tables: Tables<'_>) -> Affected {
        let mut affected = Affected::default();
        let mut left: FxHashMap<ClassId, SubjectId> = FxHashMap::default();
        for class in classes {
            if let Some(id) = self.of_class.remove(class) {
                if let Some(subject) = self.by_id.get_mut(&id) {
                    subject.classes.remove(class);
                }
                affected.peopled.insert(id);
                left.insert(*class, id);
            }
        }
        let keys = classes
            .iter()
            .filter_map(|&class| Some((class, key_of(class, tables)?)));
        // Those that find their subject come first, so that it is not given to others.
        let (known, unknown): (Vec<_>, Vec<_>) =
            keys.partition(|(_, key)| self.by_key.contains_key(key));
        for (class, key) in known.into_iter().chain(unknown) {
            let id = if let Some(&id) = self.by_key.get(&key) {
                id
            } else {
                let id = self.place(key, left.get(&class).copied());
                affected.remade.insert(id);
                id
            };
            if let Some(subject) = self.by_id.get_mut(&id) {
                subject.classes.insert(class);
            }
            self.of_class.insert(class, id);
            affected.peopled.insert(id);
        }
        affected
    }

    /// A subject for a new key: the one that its class has left, when nothing is in it any more.
    fn place(&mut self, key: SubjectKey, left: Option<SubjectId>) -> SubjectId {
        let vacant = left.and_then(|id| Some((id, self.by_id.get_mut(&id)?)));
        if let Some((id, subject)) = vacant.filter(|(_, subject)| subject.classes.is_empty()) {
            let before = std::mem::replace(&mut subject.key, key.clone());
            self.by_key.remove(&before);
            self.by_key.insert(key, id);
            return id;
        }
        let id = SubjectId(self.given_out);
        self.given_out += 1;
        self.by_key.insert(key.clone(), id);
        let subject = Subject {
            key,
            classes: BTreeSet::new(),
            permissions: Permissions::default(),
            addresses: BTreeSet::new(),
            isolated_by: BTreeMap::new(),
            audited: BTreeSet::new(),
            named_ports: Vec::new(),
            is_reported: false,
        };
        self.by_id.insert(id, subject);
        id
    }

    /// Brings subjects up to date, and adds what changed of them to `changes`.
    pub(super) fn update(
        &mut self,
        affected: &Affected,
        moves: &Moves,
        tables: Tables<'_>,
        changes: &mut Changes,
    ) {
        let Affected {
            remade,
            peopled,
            passed,
        } = affected;
        for &id in &(&(remade | peopled) | passed) {
            let Some(subject) = self.by_id.get_mut(&id) else {
                continue;
            };
            if subject.classes.is_empty() {
                self.by_key.remove(&subject.key);
                if subject.is_reported {
                    changes.vanished.insert(id);
                }
                self.by_id.remove(&id);
                continue;
            }
            let change = subject.update(id, affected, moves, tables, self.with_rules);
            if change != SubjectChange::default() {
                changes.subjects.insert(id, change);
            }
        }
    }

    /// The numbers of subjects, and of entries of indexes.
    pub(super) fn counts(&self) -> [usize; 2] {
        [self.by_id.len(), self.by_key.len() + self.of_class.len()]
    }
}

/// What makes `class` part of a subject; `None` when no policy selects it.
fn key_of(class: ClassId, tables: Tables<'_>) -> Option<SubjectKey> {
    let groups: Vec<_> = tables.groups.of_class(class).collect();
    let asked = groups.iter().any(|&group| {
        let policies = &tables.groups.group(group).policies;
        policies.values().any(|policy| has_named_ingress(policy))
    });
    let ports = || tables.population.classes[class].key.ports.clone();
    (!groups.is_empty()).then(|| SubjectKey {
        groups,
        named_ports: asked.then(ports),
    })
}

impl Subject {
    fn update(
        &mut self,
        id: SubjectId,
        affected: &Affected,
        moves: &Moves,
        tables: Tables<'_>,
        with_rules: bool,
    ) -> SubjectChange {
        let population = tables.population;
        let mut change = SubjectChange {
            appeared: !self.is_reported,
            ..SubjectChange::default()
        };
        self.is_reported = true;
        if affected.peopled.contains(&id) {
            let classes = self.classes.iter();
            let addresses: BTreeSet<IpAddr> = classes
                .flat_map(|&class| population.local_addresses(class))
                .collect();
            change.added = &addresses - &self.addresses;
            change.removed = &self.addresses - &addresses;
            self.addresses = addresses;
        }
        if affected.remade.contains(&id) {
            let (groups, sets) = (tables.groups, tables.sets);
            let now = Permissions::new(&self.key, groups, sets, population, with_rules);
            let before = &self.permissions;
            change.permissions = compare(&before.by_key, &now.by_key, moves, population);
            change.rules = compare_rules(&before.rules, &now.rules, moves, population);
            let before = std::mem::replace(&mut self.permissions, now);
            if !before.is_by_the_same_policies(&self.permissions) {
                let isolated = Direction::ALL
                    .into_iter()
                    .filter_map(|direction| Some((direction, self.isolate(direction)?)));
                change.isolated_by = isolated.collect();
                change.audited = self.audit();
            }
            let ports = self.ports_by_name();
            if ports != self.named_ports {
                change.named_ports = Some(ports.clone());
                self.named_ports = ports;
            }
        } else {
            let permissions = &self.permissions;
            change.permissions = passed_on(&permissions.by_key, moves, population);
            let rules = permissions.rules.iter().filter_map(|(id, rule)| {
                let changes = passed_on(rule, moves, population);
                (!changes.is_empty()).then(|| (id.clone(), RuleChange::There(changes)))
            });
            change.rules = rules.collect();
        }
        change
    }

    /// The named ports that policies of ingress can mean.
    fn ports_by_name(&self) -> Vec<ContainerPort> {
        let mut policies = self.permissions.policies.iter();
        let names =
            |policy: &Arc<Policy>| policy.isolates(Direction::Ingress) && has_named_ingress(policy);
        let ports = self
            .key
            .named_ports
            .as_ref()
            .filter(|_| policies.any(names));
        ports.cloned().unwrap_or_default()
    }

    /// Takes the isolating policies over; gives them if they are other ones.
    fn isolate(&mut self, direction: Direction) -> Option<BTreeSet<PolicyId>> {
        let policies = self.permissions.policies.iter();
        let now: BTreeSet<PolicyId> = policies
            .filter(|policy| policy.isolates(direction))
            .map(|policy| policy.id.clone())
            .collect();
        let before = if now.is_empty() {
            self.isolated_by.remove(&direction)
        } else {
            self.isolated_by.insert(direction, now.clone())
        };
        (now != before.unwrap_or_default()).then_some(now)
    }

    /// Takes over which directions are audited; gives those that changed.
    fn audit(&mut self) -> BTreeMap<Direction, bool> {
        let directions = Direction::ALL.into_iter();
        let now: BTreeSet<Direction> = directions
            .filter(|&direction| self.permissions.isolation(direction) == Isolation::Audited)
            .collect();
        let before = std::mem::replace(&mut self.audited, now);
        let changed = before.symmetric_difference(&self.audited);
        changed
            .map(|direction| (*direction, self.audited.contains(direction)))
            .collect()
    }
}

fn compare(
    before: &BTreeMap<PermissionKey, Permission>,
    now: &BTreeMap<PermissionKey, Permission>,
    moves: &Moves,
    population: &Population,
) -> BTreeMap<PermissionKey, PermissionChange> {
    let mut changes = BTreeMap::new();
    for key in before.keys() {
        if !now.contains_key(key) {
            changes.insert(key.clone(), PermissionChange::Vanished);
        }
    }
    for (key, permission) in now {
        let change = match before.get(key) {
            Some(before) => moved(before, permission, moves, population),
            None => Some(PermissionChange::Appeared(PermissionPeers {
                blocks: permission.blocks.clone(),
                addresses: difference(&[], &permission.classes, moves, population).0,
            })),
        };
        changes.extend(change.map(|change| (key.clone(), change)));
    }
    changes
}

fn compare_rules(
    before: &BTreeMap<RuleId, BTreeMap<PermissionKey, Permission>>,
    now: &BTreeMap<RuleId, BTreeMap<PermissionKey, Permission>>,
    moves: &Moves,
    population: &Population,
) -> BTreeMap<RuleId, RuleChange> {
    let mut changes = BTreeMap::new();
    for id in before.keys().filter(|id| !now.contains_key(id)) {
        changes.insert(id.clone(), RuleChange::Gone);
    }
    for (id, rule) in now {
        let former = before.get(id);
        let nothing = BTreeMap::new();
        let of_rule = compare(former.unwrap_or(&nothing), rule, moves, population);
        if former.is_none() || !of_rule.is_empty() {
            changes.insert(id.clone(), RuleChange::There(of_rule));
        }
    }
    changes
}

/// How permissions changed of which just addresses moved.
fn passed_on(
    permissions: &BTreeMap<PermissionKey, Permission>,
    moves: &Moves,
    population: &Population,
) -> BTreeMap<PermissionKey, PermissionChange> {
    let changed = permissions.iter().filter_map(|(key, permission)| {
        let change = moved(permission, permission, moves, population)?;
        Some((key.clone(), change))
    });
    changed.collect()
}

/// How the peers of a permission changed, if they did.
fn moved(
    before: &Permission,
    now: &Permission,
    moves: &Moves,
    population: &Population,
) -> Option<PermissionChange> {
    let (added, removed) = difference(&before.classes, &now.classes, moves, population);
    let blocks = (before.blocks != now.blocks).then(|| now.blocks.clone());
    let is_changed = blocks.is_some() || !added.is_empty() || !removed.is_empty();
    is_changed.then_some(PermissionChange::Changed {
        blocks,
        added,
        removed,
    })
}

/// The addresses that pods of the classes `now` have and those of the classes `before` had not, and the other way
/// round. Only addresses that moved, and those of classes on one side alone, are looked at.
fn difference(
    before: &[ClassId],
    now: &[ClassId],
    moves: &Moves,
    population: &Population,
) -> (BTreeSet<IpAddr>, BTreeSet<IpAddr>) {
    let is_in = |classes: &[ClassId], standing: &Standing| {
        let class = standing.class();
        class.is_some_and(|class| classes.binary_search(&class).is_ok())
    };
    let (mut added, mut removed) = (BTreeSet::new(), BTreeSet::new());
    for (&address, (was, is)) in moves {
        match (is_in(before, was), is_in(now, is)) {
            (false, true) => added.insert(address),
            (true, false) => removed.insert(address),
            _ => continue,
        };
    }
    let stayed = |class: &ClassId| {
        let addresses = population.addresses(*class);
        addresses.filter(|address| !moves.contains_key(address))
    };
    if before != now {
        added.extend(beyond(now, before).flat_map(stayed));
        removed.extend(beyond(before, now).flat_map(stayed));
    }
    (added, removed)
}

/// The classes of one sorted list that are not in the other.
fn beyond<'c>(classes: &'c [ClassId], others: &'c [ClassId]) -> impl Iterator<Item = &'c ClassId> {
    let mut others = others.iter().peekable();
    classes.iter().filter(move |class| {
        while others.next_if(|other| other < class).is_some() {}
        others.peek() != Some(class)
    })
}
