//! Any bytes, as what a container is told about whom to call.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nopal::fuzz::feed("setting", data));
