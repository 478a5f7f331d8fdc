//! Feeds the body `key_set` of `kubestile_testkit::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    kubestile_testkit::fuzz::run("key_set", data);
});
