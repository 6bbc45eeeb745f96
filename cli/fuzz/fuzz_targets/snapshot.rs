//! Any bytes, read as a snapshot to compare with.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nopal::fuzz::feed("snapshot", data));
