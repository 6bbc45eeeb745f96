//! Any bytes, read as an end, a selector and a port of `nopal query`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nopal::fuzz::feed("selection", data));
