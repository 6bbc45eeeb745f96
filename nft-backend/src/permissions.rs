//! What a class chain lets through, to tell whether one chain allows all that another does.

use crate::names::Name;
use crate::placement::View;
use crate::ruleset::{Chain, Set};
use crate::statement::{Rule, Statement};

/// The lookups of a class chain, each with the sets that must all hold the packet.
#[derive(Default)]
pub(crate) struct Permissions<'a> {
    everything: bool,
    single: Vec<&'a Set>,
    products: Vec<Vec<&'a Set>>,
}

impl<'a> Permissions<'a> {
    /// What the chain of this name allows; `None`, for no chain, is everything.
    pub(crate) fn of(view: &View<'a>, chain: Option<&Name>) -> Self {
        let Some(chain) = chain else {
            return Self {
                everything: true,
                ..Self::default()
            };
        };
        let mut permissions = Self::default();
        let rules = view.chains.get(chain).map_or(&[][..], |chain| &chain.rules);
        for rule in rules {
            let sets = rule.statements.iter().filter_map(looked_up);
            let sets: Vec<&Set> = sets.filter_map(|set| view.sets.get(set).copied()).collect();
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
    /// together cover one.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        if self.everything {
            return true;
        }
        let covers_product = |product: &Vec<&Set>| {
            let covered = |own: &Vec<&Set>| {
                own.len() == product.len()
                    && own
                        .iter()
                        .zip(product)
                        .all(|(own, other)| holds(&[own], other))
            };
            self.products.iter().any(covered) || product.iter().any(|set| holds(&self.single, set))
        };
        !other.everything
            && other.single.iter().all(|set| holds(&self.single, set))
            && other.products.iter().all(covers_product)
    }
}

/// Whether each element of `other` is covered by an element of one of the sets.
fn holds(sets: &[&Set], other: &Set) -> bool {
    if sets.iter().any(|set| std::ptr::eq(*set, other)) {
        return true;
    }
    let is_in = |set: &&Set, element| set.key == other.key && set.elements.contains(element);
    // A set of ports, or of ranges, is small; a hash of peers can hold what it has but nothing wider.
    let wide = || {
        sets.iter()
            .filter(|set| set.interval || set.key != other.key)
    };
    other.elements.iter().all(|element| {
        sets.iter().any(|set| is_in(set, element))
            || wide().any(|set| set.elements.iter().any(|own| own.covers(element)))
    })
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
        Statement::InSet { set, .. } => Some(set),
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
