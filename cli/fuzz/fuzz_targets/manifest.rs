//! Any bytes, read as manifests.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nopal::fuzz::feed("manifest", data));
