//! From labels to the things that carry them, so that a selector is never tried against everything.

use crate::labels::Labels;
use crate::selector::{Constraint, Selector, Values};
use rustc_hash::FxHashMap;
use std::ops::Range;

/// Entries numbered from 0, findable by label. Every list of numbers is sorted.
#[derive(Debug)]
pub struct LabelIndex<'a> {
    labels: Vec<&'a Labels>,
    by_key: FxHashMap<&'a str, Carriers<'a>>,
}

/// The entries that carry one key.
#[derive(Debug, Default)]
struct Carriers<'a> {
    all: Vec<u32>,
    by_value: FxHashMap<&'a str, Vec<u32>>,
}

impl<'a> LabelIndex<'a> {
    /// The index of these entries, in their order.
    pub fn new(entries: impl Iterator<Item = &'a Labels>) -> Self {
        let mut index = Self {
            labels: Vec::new(),
            by_key: FxHashMap::default(),
        };
        for (number, labels) in (0..).zip(entries) {
            index.labels.push(labels);
            for (key, value) in labels.iter() {
                let carriers = index.by_key.entry(key).or_default();
                carriers.all.push(number);
                carriers.by_value.entry(value).or_default().push(number);
            }
        }
        index
    }

    /// The entries within `range` that `selector` matches, in ascending order.
    pub fn select(&self, selector: &Selector, range: Range<u32>) -> Vec<u32> {
        // Unless values are excluded, the lists hold just what their own constraint matches, so that a lone constraint
        // need not be tried again.
        let mut constraints = selector.constraints();
        let excludes = |constraint: &Constraint| match &constraint.values {
            Values::Except(values) => !values.is_empty(),
            Values::Only(_) => false,
        };
        let is_exact = match (constraints.next(), constraints.next()) {
            (Some((_, lone)), None) => !excludes(lone),
            _ => false,
        };
        let matching = |number: &u32| selector.matches(self.labels[*number as usize]);
        match self.narrowest(selector, &range) {
            None => range.filter(matching).collect(),
            Some(lists) => {
                let several = lists.len() > 1;
                let mut found: Vec<u32> = lists
                    .into_iter()
                    .flatten()
                    .copied()
                    .filter(|number| is_exact || matching(number))
                    .collect();
                if several {
                    found.sort_unstable();
                }
                found
            }
        }
    }

    /// How many entries `select` would look at.
    pub(crate) fn cost(&self, selector: &Selector, range: &Range<u32>) -> usize {
        match self.narrowest(selector, range) {
            None => range.len(),
            Some(lists) => lists.iter().map(|list| list.len()).sum(),
        }
    }

    /// The shortest lists that hold every match within `range`; `None` when no constraint demands a label.
    fn narrowest(&self, selector: &Selector, range: &Range<u32>) -> Option<Vec<&[u32]>> {
        let demanding = selector
            .constraints()
            .filter(|(_, constraint)| !constraint.may_lack);
        demanding
            .map(|(key, constraint)| self.lists(key, constraint, range))
            .min_by_key(|lists| lists.iter().map(|list| list.len()).sum::<usize>())
    }

    fn lists(&self, key: &str, constraint: &Constraint, range: &Range<u32>) -> Vec<&[u32]> {
        let Some(carriers) = self.by_key.get(key) else {
            return Vec::new();
        };
        match &constraint.values {
            Values::Except(_) => vec![within(&carriers.all, range)],
            Values::Only(values) => {
                let lists = values
                    .iter()
                    .filter_map(|value| carriers.by_value.get(value.as_ref()));
                lists.map(|list| within(list, range)).collect()
            }
        }
    }
}

/// The part of a sorted list that lies in `range`.
fn within<'l>(list: &'l [u32], range: &Range<u32>) -> &'l [u32] {
    let start = list.partition_point(|&number| number < range.start);
    let end = list.partition_point(|&number| number < range.end);
    &list[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each combination of `a` and `b` being missing, `x`, `y` or `z`.
    fn label_sets() -> Vec<Labels> {
        let values = [None, Some("x"), Some("y"), Some("z")];
        let pairs = values
            .iter()
            .flat_map(|a| values.iter().map(move |b| (*a, *b)));
        pairs
            .map(|(a, b)| {
                let written = [("a", a), ("b", b)].into_iter();
                written
                    .filter_map(|(key, value)| Some((key, value?)))
                    .collect()
            })
            .collect()
    }

    fn requirements() -> Vec<(&'static str, Constraint)> {
        let of = |key| {
            [
                (key, Constraint::one_of(["x"])),
                (key, Constraint::one_of(["x", "y"])),
                (key, Constraint::none_of(["x"])),
                (key, Constraint::none_of(["x", "y"])),
                (key, Constraint::exists()),
                (key, Constraint::lacks()),
            ]
        };
        of("a").into_iter().chain(of("b")).collect()
    }

    #[test]
    fn the_index_finds_what_trying_every_entry_finds() {
        let entries = label_sets();
        let index = LabelIndex::new(entries.iter());
        let count = u32::try_from(entries.len()).unwrap();
        for one in requirements() {
            for other in requirements() {
                let selector = Selector::from_iter([one.clone(), other]);
                for range in [0..count, 3..11, 5..5] {
                    let tried: Vec<u32> = range
                        .clone()
                        .filter(|&number| selector.matches(&entries[number as usize]))
                        .collect();
                    assert_eq!(index.select(&selector, range), tried, "{selector}");
                }
            }
        }
    }
}
