//! Feeds the body `tlog_tile_path` of `kubestile_testkit::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    kubestile_testkit::fuzz::run("tlog_tile_path", data);
});
