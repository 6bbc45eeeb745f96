//! The generation of a flow's last evaluation, kept in a few bits of its conntrack mark.
//!
//! A flow that was evaluated carries the generation then in force; when permissions shrink, the
//! generation in force moves on, and each standing flow is evaluated once more with its next packet.
//!
//! # Why a number that comes round is safe
//! The field has 2 to 16 bits, so a number is used again after some bumps, while a silent TCP flow
//! keeps its conntrack entry and its mark for five days. Rules alone cannot help: they see packets,
//! and a silent flow has none; no number of "eras" in the mark changes that, because a finite field
//! comes round. So the entries themselves are cleared, by [`Kernel::clear_marks`], which sets our
//! bits of every entry to zero; zero is never a generation. When:
//!
//! 1. The numbers 1 to 2^n-1 are split into two eras by the field's highest bit. The first number
//!    of an era comes into force only after a clearing that ran while the other era was in force.
//! 2. While that clearing runs, the only mark that rules write is the generation in force, which is
//!    of the other era (the rule that wrote the era to come was replaced at least one bump ago). So
//!    after it no entry carries a number of the era to come, whenever its packets came in between.
//! 3. Within an era the numbers only grow. So when a number comes into force, no entry carries it.
//! 4. Where no generation is known (first load, marks newly switched on, table deleted by
//!    somebody), no rule of ours stamps; the clearing then removes what an earlier table left.
//!
//! 5. Where other bits hold the generation from now on, the former and the new ones are cleared together, so that neither
//!    rules read what only half of a number is. Meanwhile rules write the former generation alone; where the bits overlap
//!    the new ones read some number there, which is taken for the generation in force and counted on from.
//!
//! A flow whose mark was cleared is merely evaluated again. The clearing costs one conntrack dump
//! every 2^(n-1) bumps: with the default 8 bits every 128.
//!
//! # Clearing ahead
//! None of this asks that the clearing comes right before the first number of an era. While the last number of the other
//! era is in force, it may run at any time, so [`Live::clear_ahead`] runs it when no change waits for it. Where an era has
//! one number alone, as one of two bits, that number is its first, and packets that met the rule before it may still be
//! under way; there it is left to the change.
//!
//! [`Kernel::clear_marks`]: crate::kernel::Kernel::clear_marks
//! [`Live::clear_ahead`]: crate::live::Live::clear_ahead

use std::fmt;

/// The bits of the conntrack mark that belong to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarkBits(u32);

/// Why a mask cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the mark mask {0:#010x} is not one run of 2 to 16 bits")]
pub struct MarkBitsError(u32);

/// A generation: never zero, which is the mark of a flow that was not evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(u32);

impl Default for MarkBits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl MarkBits {
    /// The highest 8 bits.
    pub const DEFAULT: Self = Self(0xff00_0000);

    /// The bits of a mask, which must be one run of 2 to 16 bits: one bit would leave no second
    /// generation. To do without marks, configure none at all.
    pub const fn from_mask(mask: u32) -> Result<Self, MarkBitsError> {
        let width = mask.count_ones();
        let is_run = mask.leading_zeros() + width + mask.trailing_zeros() == u32::BITS;
        if is_run && width >= 2 && width <= 16 {
            Ok(Self(mask))
        } else {
            Err(MarkBitsError(mask))
        }
    }

    /// The mask.
    pub const fn mask(self) -> u32 {
        self.0
    }

    /// These bits and others, to be cleared together.
    pub(crate) const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// What our bits of the mark hold for a flow of this generation.
    pub const fn value(self, generation: Generation) -> u32 {
        (generation.0 << self.0.trailing_zeros()) & self.0
    }

    /// The generation that a mark carries, if it is not zero.
    pub const fn generation(self, mark: u32) -> Option<Generation> {
        match (mark & self.0) >> self.0.trailing_zeros() {
            0 => None,
            number => Some(Generation(number)),
        }
    }

    /// The generation after this one.
    #[must_use]
    pub const fn next(self, generation: Generation) -> Generation {
        if generation.0 >= self.last().0 {
            Generation::FIRST
        } else {
            Generation(generation.0 + 1)
        }
    }

    /// Whether the marks must be cleared before `next` comes into force after `current`.
    pub const fn must_clear(self, current: Generation, next: Generation) -> bool {
        self.era(current) != self.era(next)
    }

    /// Whether the marks can be cleared while `current` is in force, for the generation after it: it is the last of its
    /// era, and not the first.
    pub const fn can_clear_ahead(self, current: Generation) -> bool {
        let is_first = current.0 == 1 || self.era(Generation(current.0 - 1)) != self.era(current);
        self.must_clear(current, self.next(current)) && !is_first
    }

    const fn last(self) -> Generation {
        Generation(self.0 >> self.0.trailing_zeros())
    }

    const fn era(self, generation: Generation) -> u32 {
        generation.0 >> (self.0.count_ones() - 1)
    }
}

impl fmt::Display for MarkBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

impl Generation {
    /// The generation of the first load.
    pub const FIRST: Self = Self(1);

    /// The generation with this number, if these bits can hold it.
    pub(crate) const fn from_number(bits: MarkBits, number: u32) -> Option<Self> {
        if number >= 1 && number <= bits.last().0 {
            Some(Self(number))
        } else {
            None
        }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_run_of_bits_is_a_mask() {
        for mask in [0, 0x1, 0x5, 0xff00_ff00, 0xffff_ffff] {
            assert_eq!(MarkBits::from_mask(mask), Err(MarkBitsError(mask)));
        }
        for mask in [0x3, 0xff00_0000, 0x0ff0, 0xffff] {
            assert!(MarkBits::from_mask(mask).is_ok());
        }
    }

    #[test]
    fn a_generation_is_found_again_in_its_mark() {
        let bits = MarkBits::DEFAULT;
        let mark = 0x0012_3456 | bits.value(Generation(7));
        assert_eq!(mark, 0x0712_3456);
        assert_eq!(bits.generation(mark), Some(Generation(7)));
        assert_eq!(bits.generation(0x0012_3456), None);
    }

    /// Every flow that was ever stamped stays silent: the worst case. A clearing empties the marks
    /// of all of them, but flows are stamped again with the generation still in force while it runs.
    #[test]
    fn no_flow_carries_a_generation_when_it_comes_into_force() {
        for mask in [0x3, 0x7, 0xf0, 0xff00_0000] {
            let bits = MarkBits::from_mask(mask).unwrap();
            let mut carried = std::collections::BTreeSet::from([Generation::FIRST]);
            let mut current = Generation::FIRST;
            for _ in 0..1000 {
                let next = bits.next(current);
                if bits.must_clear(current, next) {
                    carried = std::collections::BTreeSet::from([current]);
                }
                assert!(
                    !carried.contains(&next),
                    "{mask:#x}: {next} after {current}"
                );
                assert_eq!(bits.generation(bits.value(next)), Some(next));
                carried.insert(next);
                current = next;
            }
        }
    }

    #[test]
    fn marks_are_cleared_ahead_at_the_last_number_of_an_era_that_has_several() {
        let ahead = |mask| {
            let bits = MarkBits::from_mask(mask).unwrap();
            let numbers = (1..=bits.last().0).filter(|n| bits.can_clear_ahead(Generation(*n)));
            numbers.collect::<Vec<_>>()
        };
        assert_eq!(ahead(0x3), [3]);
        assert_eq!(ahead(0x70), [3, 7]);
        assert_eq!(ahead(0xff00_0000), [127, 255]);
    }
}
