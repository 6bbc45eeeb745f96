//! Where the chance of a test comes from.

use std::time::{SystemTime, UNIX_EPOCH};

/// The variable that repeats a run.
const VARIABLE: &str = "NOPAL_SEED";

/// The seed that the environment gives, or another one each time; it is printed, so that a failure can be repeated.
pub(crate) fn seed() -> u64 {
    let given = std::env::var(VARIABLE).ok();
    let seed = given.map_or_else(
        || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            u64::from(now.subsec_nanos())
        },
        |given| given.parse().unwrap(),
    );
    println!("{VARIABLE}={seed}");
    seed
}
