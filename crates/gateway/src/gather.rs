//! Step 4: under which conditions. Every fact is there, or is absent with the reason why; absence is
//! never read as "fine".

use std::sync::Arc;

use http::HeaderMap;
use kubestile_core::action::Action;
use kubestile_core::context::{Absence, Approved, Context, Invocation, Known};
use kubestile_core::identity::VerifiedIdentity;
use kubestile_core::{Grant, Timestamp};

use crate::accept::Connection;
use crate::forward::{Judged, is_self_review};
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
    who: &VerifiedIdentity,
    action: &Action,
) -> Result<Context, Refusal> {
    let now = gate.now();
    Ok(Context {
        now,
        source: connection.peer().ip(),
        invocation: invocation(headers),
        approval: Known::Absent(Absence::NotNeeded),
        grants: grants(gate, who, action, now),
    })
}

/// The conditions of a request that was judged before, as they are now, with what was approved.
pub fn gather_again(gate: &Gate, judged: &Judged, approval: Known<Approved>) -> Context {
    let now = gate.now();
    Context {
        now,
        approval,
        grants: grants(gate, &judged.who, &judged.action, now),
        ..judged.context.clone()
    }
}

/// The live grants that cover a request. A self-review only asks: it is answered for all that live.
pub(crate) fn grants(
    gate: &Gate,
    who: &VerifiedIdentity,
    action: &Action,
    now: Timestamp,
) -> Vec<Arc<Grant>> {
    let person = who.identity().id;
    if !is_self_review(action) {
        return gate.store.grants_for(person, who.session(), action, now);
    }
    let mut live = gate.store.live_grants_of(person, who.session(), now);
    live.retain(|g| {
        g.terms
            .cluster
            .as_ref()
            .is_none_or(|c| *c == action.cluster)
    });
    live
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
