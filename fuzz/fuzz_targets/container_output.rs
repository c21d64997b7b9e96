#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| harness::untrusted::container_output(data));
