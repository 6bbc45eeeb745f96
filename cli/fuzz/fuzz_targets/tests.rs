//! Any bytes, read as tests and run.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nopal::fuzz::feed("tests", data));
