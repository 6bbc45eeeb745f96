//! Policies and rules that could go without changing who may reach whom, whatever pods there are.
//!
//! Everything that is named here can go together: what has been found redundant no longer counts for what is asked next,
//! so that of two equal policies one stays.

use std::collections::{BTreeMap, BTreeSet};

use policy_core::{Direction, Selector};
use rayon::prelude::*;

use super::LintPolicy;
use super::meaning::selector_in_union;
use super::region::{Giver, Region, cover, givers, regions};

/// A rule: the policy's position in the input, the direction, the rule's position in the list.
pub(super) type RuleId = (usize, Direction, usize);

/// All that policies of one namespace give, and what of it is redundant.
#[derive(Debug)]
pub(super) struct Neighbours {
    /// The policies, by their position in the input. Of several with one name the last.
    pub(super) policies: Vec<usize>,
    givers: [Vec<(RuleId, Giver)>; 2],
}

/// What could go.
#[derive(Debug, Default)]
pub(super) struct Redundant {
    /// Policies, each with the others that make it redundant.
    pub(super) policies: BTreeMap<usize, BTreeSet<usize>>,
    /// Rules of the remaining policies, each with the rules that give all that it gives.
    pub(super) rules: BTreeMap<RuleId, BTreeSet<RuleId>>,
}

/// The policies by namespace.
pub(super) fn neighbours(policies: &[LintPolicy<'_>]) -> Vec<Neighbours> {
    let mut last: BTreeMap<_, usize> = BTreeMap::new();
    for (index, policy) in policies.iter().enumerate() {
        last.insert(&policy.meaning.id, index);
    }
    let mut namespaces: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (id, index) in last {
        namespaces.entry(&id.namespace).or_default().push(index);
    }
    let namespaces: Vec<Vec<usize>> = namespaces.into_values().collect();
    let all = namespaces.into_par_iter();
    all.map(|mut members| {
        members.sort_unstable();
        Neighbours::new(members, policies)
    })
    .collect()
}

impl Neighbours {
    fn new(members: Vec<usize>, policies: &[LintPolicy<'_>]) -> Self {
        let of = |direction: Direction| {
            let rules = members.iter().flat_map(|&index| {
                let policy = &policies[index];
                let rules = policy.rules_of(direction).into_iter();
                rules.map(move |rule| (index, policy, rule))
            });
            let given = rules.flat_map(|(index, policy, rule)| {
                let namespace = &policy.meaning.id.namespace;
                let given = givers(namespace, &policy.meaning.subjects, &rule);
                let id = (index, direction, rule.index);
                given.into_iter().map(move |giver| (id, giver))
            });
            given.collect()
        };
        Self {
            givers: Direction::ALL.map(of),
            policies: members,
        }
    }

    /// The rules that together give a region, of those that `counts` admits.
    pub(super) fn cover(
        &self,
        direction: Direction,
        region: &Region,
        counts: impl Fn(RuleId) -> bool,
    ) -> Option<BTreeSet<RuleId>> {
        let givers = self.of(direction);
        let counted = givers.iter().enumerate();
        let counted = counted.filter(|(_, (id, _))| counts(*id));
        let used = cover(
            region,
            counted.map(|(position, (_, giver))| (position, giver)),
        )?;
        Some(
            used.into_iter()
                .map(|position| givers[position].0)
                .collect(),
        )
    }

    /// What could go.
    pub(super) fn redundant(&self, policies: &[LintPolicy<'_>]) -> Redundant {
        let mut found = Redundant::default();
        if self.policies.len() < 2 {
            return found;
        }
        let nothing = Redundant::default();
        let members = self.policies.par_iter().rev();
        let candidates: Vec<usize> = members
            .copied()
            .filter(|&index| self.policy(index, policies, &nothing).is_some())
            .collect();
        for index in candidates {
            if let Some(by) = self.policy(index, policies, &found) {
                found.policies.insert(index, by);
            }
        }
        let rules: BTreeSet<RuleId> = Direction::ALL
            .into_iter()
            .flat_map(|direction| self.of(direction))
            .map(|(id, _)| *id)
            .collect();
        let rules: Vec<RuleId> = rules.into_iter().rev().collect();
        let candidates: Vec<RuleId> = rules
            .into_par_iter()
            .filter(|id| self.rule(*id, &found, |other| other != *id).is_some())
            .collect();
        for id in candidates {
            if found.policies.contains_key(&id.0) {
                continue;
            }
            // What the other rules of its own policy give is told elsewhere.
            let own = self.rule(id, &found, |other| other.0 == id.0 && other != id);
            if own.is_none()
                && let Some(by) = self.rule(id, &found, |other| other != id)
            {
                found.rules.insert(id, by);
            }
        }
        found
    }

    /// The policies that make this one redundant. A policy that allows nothing states a default: only others that allow
    /// nothing make it redundant.
    fn policy(
        &self,
        index: usize,
        policies: &[LintPolicy<'_>],
        gone: &Redundant,
    ) -> Option<BTreeSet<usize>> {
        let policy = &policies[index];
        let allows_nothing = |policy: &LintPolicy<'_>| policy.rules().next().is_none();
        let is_deny = allows_nothing(policy);
        let mut by = BTreeSet::new();
        for direction in Direction::ALL {
            if !policy.meaning.isolates(direction) {
                continue;
            }
            let others = self.policies.iter().copied().filter(|other| {
                *other != index
                    && !gone.policies.contains_key(other)
                    && policies[*other].meaning.isolates(direction)
                    && (!is_deny || allows_nothing(&policies[*other]))
            });
            let others: Vec<usize> = others.collect();
            let selectors = others
                .iter()
                .map(|&other| &policies[other].meaning.subjects);
            let selectors: Vec<&Selector> = selectors.collect();
            let used = selector_in_union(&policy.meaning.subjects, &selectors)?;
            by.extend(used.into_iter().map(|position| others[position]));
            for rule in policy.rules_of(direction) {
                let id = (index, direction, rule.index);
                let used = self.rule(id, gone, |other| other.0 != index)?;
                by.extend(used.into_iter().map(|(other, ..)| other));
            }
        }
        let is_policy = policy.meaning.isolates_ingress || policy.meaning.isolates_egress;
        (is_policy && policy.problems.is_empty() && policy.meaning.subjects.is_satisfiable())
            .then_some(by)
    }

    /// The rules among `counts` that give all that a rule gives; `None` as well where it gives nothing.
    fn rule(
        &self,
        id: RuleId,
        gone: &Redundant,
        counts: impl Fn(RuleId) -> bool,
    ) -> Option<BTreeSet<RuleId>> {
        let counts = |other: RuleId| {
            counts(other)
                && !gone.policies.contains_key(&other.0)
                && !gone.rules.contains_key(&other)
        };
        let mut by = BTreeSet::new();
        let own = self.of(id.1).iter().filter(|(other, _)| *other == id);
        for region in own.flat_map(|(_, giver)| regions(giver)) {
            by.extend(self.cover(id.1, &region, counts)?);
        }
        (!by.is_empty()).then_some(by)
    }

    fn of(&self, direction: Direction) -> &[(RuleId, Giver)] {
        match direction {
            Direction::Ingress => &self.givers[0],
            Direction::Egress => &self.givers[1],
        }
    }
}
