//! From labels to the selectors that may match them, so that a new or relabelled pod is not tried with every selector.
//!
//! A selector is filed under one key that it demands: under the values that it lists there, or under the key alone.
//! Labels can only match what is filed under one of them, and the few selectors that demand nothing.

use crate::labels::Labels;
use crate::selector::{Constraint, Selector, Values};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// Numbered selectors, findable by the labels that they may match.
#[derive(Debug, Default)]
pub(super) struct SelectorIndex {
    by_key: FxHashMap<Box<str>, Filed>,
    undemanding: BTreeSet<u32>,
}

/// The selectors that are filed under one key.
#[derive(Debug, Default)]
struct Filed {
    any_value: BTreeSet<u32>,
    by_value: FxHashMap<Box<str>, BTreeSet<u32>>,
}

impl SelectorIndex {
    pub(super) fn insert(&mut self, selector: &Selector, number: u32) {
        let Some((key, constraint)) = demand(selector) else {
            self.undemanding.insert(number);
            return;
        };
        let filed = self.by_key.entry(key.into()).or_default();
        match &constraint.values {
            Values::Except(_) => {
                filed.any_value.insert(number);
            }
            Values::Only(values) => {
                for value in values {
                    let numbers = filed.by_value.entry(value.clone()).or_default();
                    numbers.insert(number);
                }
            }
        }
    }

    /// The numbers of all selectors.
    pub(super) fn numbers(&self) -> BTreeSet<u32> {
        let filed = self.by_key.values();
        let filed = filed.flat_map(|filed| filed.by_value.values().chain([&filed.any_value]));
        filed
            .chain([&self.undemanding])
            .flatten()
            .copied()
            .collect()
    }

    pub(super) fn remove(&mut self, selector: &Selector, number: u32) {
        let Some((key, constraint)) = demand(selector) else {
            self.undemanding.remove(&number);
            return;
        };
        let Some(filed) = self.by_key.get_mut(key) else {
            return;
        };
        match &constraint.values {
            Values::Except(_) => {
                filed.any_value.remove(&number);
            }
            Values::Only(values) => {
                for value in values {
                    if let Some(numbers) = filed.by_value.get_mut(value) {
                        numbers.remove(&number);
                        if numbers.is_empty() {
                            filed.by_value.remove(value);
                        }
                    }
                }
            }
        }
        if filed.any_value.is_empty() && filed.by_value.is_empty() {
            self.by_key.remove(key);
        }
    }

    /// All selectors that may match `labels`, each once; some of them may not.
    pub(super) fn candidates(&self, labels: &Labels) -> impl Iterator<Item = u32> {
        let filed = labels.iter().flat_map(|(key, value)| {
            let filed = self.by_key.get(key);
            let by_value = filed.and_then(|filed| filed.by_value.get(value));
            let any_value = filed.map(|filed| &filed.any_value);
            by_value.into_iter().chain(any_value).flatten().copied()
        });
        filed.chain(self.undemanding.iter().copied())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty() && self.undemanding.is_empty()
    }
}

/// Whether the selector demands a label at all.
pub(super) fn is_demanding(selector: &Selector) -> bool {
    demand(selector).is_some()
}

/// The demanded key with the fewest values.
fn demand(selector: &Selector) -> Option<(&str, &Constraint)> {
    let demanded = selector
        .constraints()
        .filter(|(_, constraint)| !constraint.may_lack);
    demanded.min_by_key(|(_, constraint)| match &constraint.values {
        Values::Only(values) => values.len(),
        Values::Except(_) => usize::MAX,
    })
}
