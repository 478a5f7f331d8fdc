//! Feeds the body `pipeline_token` of `kubestile_testkit::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    kubestile_testkit::fuzz::run("pipeline_token", data);
});
