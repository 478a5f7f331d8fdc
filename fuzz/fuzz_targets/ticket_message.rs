//! Feeds the body `ticket_message` of `kubestile_testkit::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    kubestile_testkit::fuzz::run("ticket_message", data);
});
