//! One body per parser that reads what a stranger wrote. A body takes any bytes, must not panic, and
//! asserts what must hold of everything that the parser accepts.
//!
//! `fuzz/fuzz_targets/<name>.rs` hands the body to libFuzzer; `tests/tests/fuzz_corpus.rs` replays
//! `fuzz/corpus/<name>/` and mutations of it under a stable compiler.

mod credentials;
mod log;
pub mod mutate;
mod policies;
mod requests;
mod streams;

/// A parser and what to feed it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of its file in `fuzz/fuzz_targets` and of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Feeds the parser; says whether it accepted the bytes. Panics if something is wrong with it.
    pub body: fn(&[u8]) -> bool,
    /// How many mutations of its corpus `cargo test` tries: as many as take a second or less.
    pub mutations: u32,
}

/// Every target, in the order in which a request meets the parsers.
pub const TARGETS: &[Target] = &[
    target("client_cert", credentials::client_cert, 5_000),
    target("csr", credentials::csr, 3_000),
    target("authorization", credentials::authorization, 20_000),
    target("login_code", credentials::login_code, 20_000),
    target("renewal_proof", credentials::renewal_proof, 2_000),
    target("names", requests::names, 20_000),
    target("short_ids", requests::short_ids, 20_000),
    target(
        "pipeline_token",
        kubestile_outbound::oidc::fuzzing::token,
        10_000,
    ),
    target("key_set", kubestile_outbound::oidc::fuzzing::key_set, 5_000),
    target(
        "json_object",
        kubestile_outbound::oidc::fuzzing::object,
        10_000,
    ),
    target("ticket", kubestile_outbound::ticket::fuzzing::ticket, 2_000),
    target(
        "ticket_message",
        kubestile_outbound::ticket::fuzzing::message,
        5_000,
    ),
    target("request_info", requests::request_info, 20_000),
    target("upgrade", requests::upgrade, 10_000),
    target("impersonate", requests::impersonate, 10_000),
    target("spdy", streams::spdy, 3_000),
    target("websocket", streams::websocket, 10_000),
    target("policy", policies::policy, 300),
    target("record", log::record, 10_000),
    target("audit_event", log::audit_event, 20_000),
    target("tlog_note", kubestile_tlog::fuzzing::note, 10_000),
    target(
        "tlog_checkpoint",
        kubestile_tlog::fuzzing::checkpoint,
        10_000,
    ),
    target("tlog_tile_path", kubestile_tlog::fuzzing::tile_path, 20_000),
    target("tlog_bundle", kubestile_tlog::fuzzing::bundle, 10_000),
    target("tlog_proof", kubestile_tlog::fuzzing::proof, 10_000),
    target("tlog_vkey", kubestile_tlog::fuzzing::vkey, 10_000),
];

/// The body of a target.
///
/// # Panics
/// If there is no such target: a fuzz target without a body must not seem to pass.
pub fn run(name: &str, data: &[u8]) -> bool {
    let target = TARGETS.iter().find(|target| target.name == name);
    assert!(target.is_some(), "no body for the fuzz target `{name}`");
    target.is_some_and(|target| (target.body)(data))
}

const fn target(name: &'static str, body: fn(&[u8]) -> bool, mutations: u32) -> Target {
    Target {
        name,
        body,
        mutations,
    }
}

/// Whether a person's terminal shows the text as it is.
fn is_printable(text: &str) -> bool {
    !text.chars().any(char::is_control)
}
