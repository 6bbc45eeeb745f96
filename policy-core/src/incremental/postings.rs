//! From labels to the things that carry them, kept while things come and go.

use crate::labels::Labels;
use crate::selector::{Constraint, Selector, Values};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// For each key and value, the numbers of the things that carry it.
#[derive(Debug, Default)]
pub(super) struct Postings(FxHashMap<Box<str>, FxHashMap<Box<str>, BTreeSet<u32>>>);

impl Postings {
    pub(super) fn insert(&mut self, labels: &Labels, number: u32) {
        for (key, value) in labels.iter() {
            let by_value = entry(&mut self.0, key);
            entry(by_value, value).insert(number);
        }
    }

    pub(super) fn remove(&mut self, labels: &Labels, number: u32) {
        for (key, value) in labels.iter() {
            let Some(by_value) = self.0.get_mut(key) else {
                continue;
            };
            if let Some(numbers) = by_value.get_mut(value) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    by_value.remove(value);
                }
            }
            if by_value.is_empty() {
                self.0.remove(key);
            }
        }
    }

    /// The shortest lists that hold everything that `selector` matches; `None` when it demands no label.
    pub(super) fn narrowest(&self, selector: &Selector) -> Option<Vec<&BTreeSet<u32>>> {
        selector
            .constraints()
            .filter(|(_, constraint)| !constraint.may_lack)
            .map(|(key, constraint)| self.lists(key, constraint))
            .min_by_key(|lists| size(lists))
    }

    fn lists(&self, key: &str, constraint: &Constraint) -> Vec<&BTreeSet<u32>> {
        let Some(by_value) = self.0.get(key) else {
            return Vec::new();
        };
        match &constraint.values {
            Values::Only(values) => values
                .iter()
                .filter_map(|value| by_value.get(value))
                .collect(),
            Values::Except(_) => by_value.values().collect(),
        }
    }

    /// How many keys anything carries.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// How many numbers the lists hold together.
pub(super) fn size(lists: &[&BTreeSet<u32>]) -> usize {
    lists.iter().map(|list| list.len()).sum()
}

fn entry<'m, V: Default>(map: &'m mut FxHashMap<Box<str>, V>, key: &str) -> &'m mut V {
    if !map.contains_key(key) {
        map.insert(key.into(), V::default());
    }
    map.get_mut(key).expect("it was put in just now")
}
