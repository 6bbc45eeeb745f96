//! Sets of whole numbers as sorted, disjoint, closed ranges: the algebra under ports and addresses.

use std::fmt::Debug;

/// A number that ranges can be made of.
pub trait Point: Copy + Ord + Debug {
    /// The smallest number.
    const MIN: Self;
    /// The largest number.
    const MAX: Self;
    /// The next number; `None` after the largest.
    fn next(self) -> Option<Self>;
    /// The number before; `None` before the smallest.
    fn previous(self) -> Option<Self>;
}

macro_rules! point {
    ($($number:ty),*) => {$(
        impl Point for $number {
            const MIN: Self = <$number>::MIN;
            const MAX: Self = <$number>::MAX;
            fn next(self) -> Option<Self> { self.checked_add(1) }
            fn previous(self) -> Option<Self> { self.checked_sub(1) }
        }
    )*};
}
point!(u8, u16, u32, u128);

/// A set of numbers. Its ranges are sorted, disjoint and never adjoin, so equal sets are equal values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangeSet<T>(Vec<(T, T)>);

impl<T> Default for RangeSet<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Point> RangeSet<T> {
    /// The empty set.
    #[must_use]
    pub fn empty() -> Self {
        Self(Vec::new())
    }

    /// Every number.
    #[must_use]
    pub fn full() -> Self {
        Self(vec![(T::MIN, T::MAX)])
    }

    /// The numbers from `first` to `last`, both included; empty when `first` is above `last`.
    #[must_use]
    pub fn range(first: T, last: T) -> Self {
        if first <= last {
            Self(vec![(first, last)])
        } else {
            Self::empty()
        }
    }

    /// The set's ranges, in ascending order.
    pub fn ranges(&self) -> &[(T, T)] {
        &self.0
    }

    /// Whether the set holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the set holds every number.
    pub fn is_full(&self) -> bool {
        self.0.as_slice() == [(T::MIN, T::MAX)]
    }

    /// Whether the set holds `point`.
    pub fn contains(&self, point: T) -> bool {
        let after = self.0.partition_point(|range| range.0 <= point);
        after > 0 && point <= self.0[after - 1].1
    }

    /// Whether every number of `other` is in this set.
    pub fn contains_all(&self, other: &Self) -> bool {
        other.0.iter().all(|&(first, last)| {
            let after = self.0.partition_point(|range| range.0 <= first);
            after > 0 && last <= self.0[after - 1].1
        })
    }

    /// The numbers in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        self.0.iter().chain(&other.0).copied().collect()
    }

    /// The numbers in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut ranges = Vec::new();
        let (mut left, mut right) = (0, 0);
        while let (Some(a), Some(b)) = (self.0.get(left), other.0.get(right)) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                ranges.push((first, last));
            }
            if a.1 < b.1 { left += 1 } else { right += 1 }
        }
        Self(ranges)
    }

    /// The numbers that are not in the set.
    #[must_use]
    pub fn complement(&self) -> Self {
        let mut ranges = Vec::with_capacity(self.0.len() + 1);
        let mut start = Some(T::MIN);
        for &(first, last) in &self.0 {
            if let (Some(start), Some(before)) = (start, first.previous())
                && start <= before
            {
                ranges.push((start, before));
            }
            start = last.next();
        }
        if let Some(start) = start {
            ranges.push((start, T::MAX));
        }
        Self(ranges)
    }

    /// The numbers of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.intersection(&other.complement())
    }
}

impl<T: Point> FromIterator<(T, T)> for RangeSet<T> {
    /// The union of any ranges, in any order; a range whose ends are swapped is empty.
    fn from_iter<I: IntoIterator<Item = (T, T)>>(ranges: I) -> Self {
        let mut ranges: Vec<_> = ranges
            .into_iter()
            .filter(|range| range.0 <= range.1)
            .collect();
        ranges.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(open) if open.1.next().is_none_or(|next| first <= next) => {
                    open.1 = open.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }
}
