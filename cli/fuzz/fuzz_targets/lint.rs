//! Any bytes, linted and compiled.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nopal::fuzz::feed("lint", data));
