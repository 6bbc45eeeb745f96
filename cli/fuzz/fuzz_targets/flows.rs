//! Any bytes, read as the flows of `nopal suggest`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nopal::fuzz::feed("flows", data));
