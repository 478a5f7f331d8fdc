//! The server's own log, on standard error. It is not the audit log, and it has no secrets.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;
use crate::exit::{Fail, Outcome};

/// Starts it, once per process.
pub(crate) fn start((format, level): &(LogFormat, String)) -> Outcome {
    let filter = EnvFilter::try_new(level).map_err(|e| Fail::config(e.to_string()))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => log.with_target(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|e| Fail::failure(format!("the log cannot be started: {e}")))
}
