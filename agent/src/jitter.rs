//! Chance, so that many agents do not do the same at the same moment.

use std::hash::{BuildHasher, RandomState};

/// A number below `limit` that another process does not get; 0 when `limit` is.
pub fn below(limit: u32) -> u32 {
    // The keys of a new state are random, as std needs them against crafted input.
    let bits = RandomState::new().hash_one(());
    let bits = u32::try_from(bits >> 32).unwrap_or(u32::MAX);
    bits.checked_rem(limit).unwrap_or_default()
}

/// A number from 0 to 1.
pub fn share() -> f64 {
    f64::from(below(1_001)) / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_and_stay_below_the_limit() {
        let numbers: std::collections::BTreeSet<u32> = (0..100).map(|_| below(1_000_000)).collect();
        assert!(numbers.len() > 50 && numbers.iter().all(|&number| number < 1_000_000));
        assert_eq!((below(0), below(1)), (0, 0));
        assert!((0.0..=1.0).contains(&share()));
    }
}
