//! Feeds the body `short_ids` of `kubestile_testkit::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    kubestile_testkit::fuzz::run("short_ids", data);
});
