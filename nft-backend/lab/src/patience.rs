//! How much longer than usual this machine needs.

use std::sync::OnceLock;
use std::time::Duration;

use crate::LabError;

/// The variable that says it: a whole number, by which every wait of the lab is multiplied.
const VARIABLE: &str = "NOPAL_LAB_PATIENCE";

/// A machine that is slower than this is of no use.
const MOST: u32 = 100;

/// A time of waiting, as long as this machine needs it: multiplied by `NOPAL_LAB_PATIENCE`, a whole number from 1 to
/// 100, if that is set. An emulated processor is ten times slower than the one that the times were chosen on, and what
/// is to be seen takes so much longer; what is looked for stays the same.
#[must_use]
pub fn patient(time: Duration) -> Duration {
    time * known_factor()
}

/// How much of some work this machine can be asked for: divided by the square of the same number, and at least 1. For
/// how often something is tried and how many packets a second are sent, never for what must come of it. The square,
/// because an emulated processor is slower by more than what is waited for: much of a wait is no work.
#[must_use]
pub fn feasible(count: u32) -> u32 {
    (count / known_factor().pow(2)).max(1)
}

fn known_factor() -> u32 {
    static FACTOR: OnceLock<u32> = OnceLock::new();
    // A value that is none keeps `Lab::build` from building anything.
    *FACTOR.get_or_init(|| factor().unwrap_or(1))
}

/// Refuses a variable that says nothing.
pub(crate) fn check() -> Result<(), LabError> {
    factor().map(|_| ())
}

fn factor() -> Result<u32, LabError> {
    let Some(value) = std::env::var_os(VARIABLE) else {
        return Ok(1);
    };
    let value = value.to_string_lossy();
    parse(&value).ok_or_else(|| LabError::BadPatience(value.into_owned()))
}

fn parse(value: &str) -> Option<u32> {
    value
        .parse()
        .ok()
        .filter(|factor| (1..=MOST).contains(factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_number_from_1_to_100_is_a_patience() {
        assert_eq!(parse("1"), Some(1));
        assert_eq!(parse("100"), Some(100));
        for value in ["", "0", "101", "-1", "1.5", "ten"] {
            assert_eq!(parse(value), None, "{value}");
        }
    }
}
