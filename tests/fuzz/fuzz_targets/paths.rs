#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| jitney::fuzz::paths(data));
