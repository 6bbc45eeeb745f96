//! Any bytes, as YAML that both ways of reading must take for the same.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nopal::fuzz::feed("plain", data));
