//! Any bytes, as what a policy says to ignore and as its mode.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nopal::fuzz::feed("annotation", data));
