#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    scopefs_fuzz::description(bytes);
});
