//! Step 4: under which conditions. Every fact is there, or is absent with the reason why; absence is
//! never read as "fine".

use http::HeaderMap;
use kubestile_core::action::Action;
use kubestile_core::context::{Absence, Context, Invocation, Known};

use crate::accept::Connection;
use crate::gate::Gate;
use crate::refusal::Refusal;

/// The conditions of a request.
///
/// # Errors
/// 503 when a fact that a policy needs cannot be had.
pub fn gather(
    gate: &Gate,
    connection: &Connection,
    headers: &HeaderMap,
    _action: &Action,
) -> Result<Context, Refusal> {
    Ok(Context {
        now: gate.now(),
        source: connection.peer().ip(),
        invocation: invocation(headers),
        approval: Known::Absent(Absence::NotConfigured),
    })
}

/// What kubectl says of the command it runs (KEP-859): a hint, bounded, never trusted.
fn invocation(headers: &HeaderMap) -> Known<Invocation> {
    let text = |name: &str, limit: usize| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .filter(|t| t.len() <= limit)
    };
    match (text("kubectl-session", 64), text("kubectl-command", 128)) {
        (Some(session), Some(command)) => Known::Present(Invocation {
            session: session.to_owned(),
            command: command.to_owned(),
        }),
        _ => Known::Absent(Absence::NotSent),
    }
}
