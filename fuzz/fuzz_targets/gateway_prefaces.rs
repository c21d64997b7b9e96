#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| harness::untrusted::gateway_prefaces(data));
