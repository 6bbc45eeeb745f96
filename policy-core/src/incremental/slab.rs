//! A numbered store whose numbers are given out again.

use std::ops::{Index, IndexMut};

/// Entries by number. The number of an entry stays the same for as long as the entry is there.
#[derive(Debug)]
pub(super) struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    /// Puts an entry in; gives its number.
    pub(super) fn insert(&mut self, entry: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.entries[number as usize] = Some(entry);
            return number;
        }
        self.entries.push(Some(entry));
        u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 entries")
    }

    /// Takes an entry out. Its number is free from now on.
    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let entry = self.entries[number as usize].take()?;
        self.free.push(number);
        if self.free.len() == self.entries.len() {
            *self = Self::default();
        }
        Some(entry)
    }

    /// The entry of a number, if there is one.
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.entries.get(number as usize)?.as_ref()
    }

    /// The entries with their numbers, in the order of the numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..)
            .zip(&self.entries)
            .filter_map(|(number, entry)| Some((number, entry.as_ref()?)))
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        self.entries[number as usize]
            .as_ref()
            .expect("a number in use has an entry")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        self.entries[number as usize]
            .as_mut()
            .expect("a number in use has an entry")
    }
}
