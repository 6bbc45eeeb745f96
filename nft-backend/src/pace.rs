//! How fast repairs may follow each other.
//!
//! Another program that undoes each repair would otherwise keep the machine busy with nothing else.
//! Some repairs are made at once, further ones at a steady rate for as long as it takes: enforcement is
//! never given up. While it is quiet, the room for a burst grows again at that rate.

use std::time::{Duration, Instant};

/// How many repairs in a row are made at once.
pub const BURST: u32 = 10;
/// The time between the repairs after those.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// A bucket that holds permissions for repairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    left: u32,
    filled: Instant,
}

impl Pace {
    /// A full bucket.
    pub fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            filled: now,
        }
    }

    /// Takes a permission, or tells when there will be one.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        self.fill(now);
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.filled + INTERVAL),
        }
    }

    /// Whether it has been quiet for so long that a whole burst could be made.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.left == BURST
    }

    fn fill(&mut self, now: Instant) {
        while self.left < BURST && now.saturating_duration_since(self.filled) >= INTERVAL {
            self.left += 1;
            self.filled += INTERVAL;
        }
        if self.left == BURST {
            self.filled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_burst_the_rate_is_steady() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for _ in 0..BURST {
            assert_eq!(pace.take(start), Ok(()));
        }
        let mut now = start;
        for number in 1..5 {
            let next = pace.take(now).unwrap_err();
            assert_eq!(next, start + INTERVAL * number);
            now = next;
            assert_eq!(pace.take(now), Ok(()));
        }
        assert!(!pace.is_full(now));
    }

    #[test]
    fn quiet_fills_the_bucket_and_no_further() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.take(start), Ok(()));
        assert!(!pace.is_full(start + INTERVAL / 2));
        let later = start + INTERVAL * 1000;
        assert!(pace.is_full(later));
        for _ in 0..BURST {
            assert_eq!(pace.take(later), Ok(()));
        }
        assert_eq!(pace.take(later), Err(later + INTERVAL));
    }
}
