//! Gives equal values one number, or one allocation.

use rustc_hash::{FxBuildHasher, FxHashMap};
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// Distinct values, numbered in the order of their first appearance.
#[derive(Debug)]
pub(crate) struct Interner<T: ?Sized> {
    numbers: FxHashMap<Arc<T>, u32>,
    values: Vec<Arc<T>>,
}

impl<T: ?Sized + Hash + Eq> Interner<T> {
    /// The number of `value`.
    pub(crate) fn intern(&mut self, value: impl Into<Arc<T>> + std::borrow::Borrow<T>) -> u32 {
        if let Some(&number) = self.numbers.get(value.borrow()) {
            return number;
        }
        let value = value.into();
        let number = u32::try_from(self.values.len()).expect("fewer than 2^32 distinct values");
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }

    /// The value with this number, to be kept.
    pub(crate) fn shared(&self, number: u32) -> Arc<T> {
        self.values[number as usize].clone()
    }

    /// The value with this number.
    pub(crate) fn value(&self, number: u32) -> &T {
        &self.values[number as usize]
    }
}

impl<T: ?Sized> Default for Interner<T> {
    fn default() -> Self {
        Self {
            numbers: FxHashMap::default(),
            values: Vec::new(),
        }
    }
}

/// Lets equal values share one allocation: a cluster has far fewer label sets and port lists than pods.
#[derive(Debug, Clone)]
pub(crate) struct Pool<T>(HashSet<T, FxBuildHasher>);

impl<T: Clone + Hash + Eq> Pool<T> {
    /// The pool's copy of `value`.
    pub(crate) fn share(&mut self, value: &T) -> T {
        if let Some(shared) = self.0.get(value) {
            return shared.clone();
        }
        self.0.insert(value.clone());
        value.clone()
    }
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(HashSet::default())
    }
}
