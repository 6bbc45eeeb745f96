//! Any bytes, read as a report to compare with.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nopal::fuzz::feed("baseline", data));
