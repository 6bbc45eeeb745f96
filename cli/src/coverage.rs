//! Which rules decided something, and which did not.

use std::collections::BTreeSet;

use policy_core::{Because, Direction, PolicyId};

use crate::inventory::Inventory;
use crate::manifest::Place;

/// The rules of all policies, and those that tests never came to.
#[derive(Debug)]
pub struct Coverage {
    /// How many rules there are.
    pub rules: usize,
    /// The rules that decided nothing, sorted.
    pub untouched: Vec<Untouched>,
}

/// A rule that decided nothing.
#[derive(Debug)]
pub struct Untouched {
    /// Its policy.
    pub policy: PolicyId,
    /// Its direction.
    pub direction: Direction,
    /// Its position; `None` where the policy has no rule in this direction, and denies everything by that.
    pub rule: Option<u32>,
    /// Where it is written.
    pub place: Option<Place>,
}

impl Coverage {
    /// A rule is touched when it admits, and a policy without rules when it is named as what isolates.
    pub fn new<'a>(inventory: &Inventory<'_>, decided: impl Iterator<Item = &'a Because>) -> Self {
        let touched: BTreeSet<(&PolicyId, Direction, Option<u32>)> = decided
            .filter_map(|because| match because {
                Because::Admitted {
                    policy,
                    direction,
                    rule,
                } => Some((policy, *direction, Some(*rule))),
                Because::Isolates { policy, direction }
                | Because::Audited { policy, direction } => Some((policy, *direction, None)),
                _ => None,
            })
            .collect();
        let mut coverage = Self {
            rules: 0,
            untouched: Vec::new(),
        };
        for (id, policy) in inventory.cluster.policies() {
            let isolating = Direction::ALL.into_iter();
            for direction in isolating.filter(|direction| policy.isolates(*direction)) {
                let mut rules: Vec<Option<u32>> = (0..)
                    .zip(policy.rules(direction))
                    .map(|(rule, _)| Some(rule))
                    .collect();
                if rules.is_empty() {
                    rules.push(None);
                }
                coverage.rules += rules.len();
                let untouched = rules
                    .into_iter()
                    .filter(|rule| !touched.contains(&(id, direction, *rule)));
                coverage.untouched.extend(untouched.map(|rule| Untouched {
                    policy: id.clone(),
                    direction,
                    rule,
                    place: match rule {
                        Some(rule) => inventory.rule_place(id, direction, rule),
                        None => inventory.policy_place(id),
                    },
                }));
            }
        }
        coverage
    }

    /// The number of rules that decided something.
    pub fn touched(&self) -> usize {
        self.rules - self.untouched.len()
    }
}
