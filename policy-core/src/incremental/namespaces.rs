//! The namespaces: those that are defined, and those that pods and policies mention.

use super::postings::Postings;
use super::slab::Slab;
use crate::cluster::NAMESPACE_NAME_LABEL;
use crate::inventory::ClassId;
use crate::labels::Labels;
use crate::policy::Mode;
use crate::selector::Selector;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The number of a namespace.
pub(super) type NamespaceNumber = u32;

/// Namespaces by number, name and label.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    by_number: Slab<Namespace>,
    numbers: FxHashMap<Arc<str>, NamespaceNumber>,
    labels: Postings,
}

#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) name: Arc<str>,
    pub(super) labels: Labels,
    /// The mode of its policies that state none.
    pub(super) mode: Mode,
    /// Whether there is a Namespace object.
    is_defined: bool,
    /// How many pods and policies are in it.
    mentions: usize,
    pub(super) classes: BTreeSet<ClassId>,
    /// The classes of pods on the node.
    pub(super) local: BTreeSet<ClassId>,
}

impl Namespaces {
    pub(super) fn get(&self, number: NamespaceNumber) -> &Namespace {
        &self.by_number[number]
    }

    pub(super) fn get_mut(&mut self, number: NamespaceNumber) -> &mut Namespace {
        &mut self.by_number[number]
    }

    pub(super) fn number(&self, name: &str) -> Option<NamespaceNumber> {
        self.numbers.get(name).copied()
    }

    /// The mode of the policies of a namespace that state none.
    pub(super) fn mode(&self, name: &str) -> Mode {
        let number = self.number(name);
        number.map_or(Mode::default(), |number| self.get(number).mode)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Namespace> {
        self.by_number.iter().map(|(_, namespace)| namespace)
    }

    /// One more pod or policy is in the namespace, which exists from now on.
    pub(super) fn mention(&mut self, name: &Arc<str>) -> NamespaceNumber {
        let number = self.insert(name);
        self.by_number[number].mentions += 1;
        number
    }

    /// One pod or policy less.
    pub(super) fn unmention(&mut self, number: NamespaceNumber) {
        self.by_number[number].mentions -= 1;
    }

    /// There is a Namespace object.
    pub(super) fn define(&mut self, name: &Arc<str>) -> NamespaceNumber {
        let number = self.insert(name);
        self.by_number[number].is_defined = true;
        number
    }

    /// There is no Namespace object.
    pub(super) fn undefine(&mut self, name: &str) -> Option<NamespaceNumber> {
        let number = self.number(name)?;
        self.by_number[number].is_defined = false;
        Some(number)
    }

    /// The number of a namespace, which comes to exist with its name label alone unless it does already.
    fn insert(&mut self, name: &Arc<str>) -> NamespaceNumber {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let labels = Labels::default().with(NAMESPACE_NAME_LABEL, name);
        let number = self.by_number.insert(Namespace {
            name: name.clone(),
            labels: labels.clone(),
            mode: Mode::default(),
            is_defined: false,
            mentions: 0,
            classes: BTreeSet::new(),
            local: BTreeSet::new(),
        });
        self.labels.insert(&labels, number);
        self.numbers.insert(name.clone(), number);
        number
    }

    /// Gives a namespace labels; gives those that it had.
    pub(super) fn relabel(&mut self, number: NamespaceNumber, labels: &Labels) -> Labels {
        let before = std::mem::replace(&mut self.by_number[number].labels, labels.clone());
        self.labels.remove(&before, number);
        self.labels.insert(labels, number);
        before
    }

    /// Forgets a namespace that nobody defines and nothing is in.
    pub(super) fn drop_unused(&mut self, number: NamespaceNumber) {
        let namespace = &self.by_number[number];
        if namespace.is_defined || namespace.mentions > 0 {
            return;
        }
        self.labels.remove(&namespace.labels, number);
        self.numbers.remove(&namespace.name);
        self.by_number.remove(number);
    }

    /// The namespaces that `selector` matches, in ascending order.
    pub(super) fn select(&self, selector: &Selector) -> Vec<NamespaceNumber> {
        let candidates: Vec<NamespaceNumber> = self.labels.narrowest(selector).map_or_else(
            || self.by_number.iter().map(|(number, _)| number).collect(),
            |lists| lists.into_iter().flatten().copied().collect(),
        );
        let is_match = |number: &NamespaceNumber| selector.matches(&self.by_number[*number].labels);
        let mut found: Vec<NamespaceNumber> = candidates.into_iter().filter(is_match).collect();
        found.sort_unstable();
        found
    }

    /// The numbers of namespaces, and of entries of indexes.
    pub(super) fn counts(&self) -> [usize; 2] {
        let indexes = self.numbers.len() + self.labels.len();
        [self.by_number.len(), indexes]
    }
}
