//! Access requests as people see them.

use kubestile_authn::digest::sha256_hex;
use kubestile_core::SessionId;
use kubestile_core::approval::{AccessRequest, HeldRequest, State, Subject};

use super::may_answer;
use crate::api::AccessEntry;
use crate::caller::Caller;
use crate::state::App;

/// An access request, as the caller sees it.
pub(crate) fn entry(app: &App, caller: &Caller, request: &AccessRequest) -> AccessEntry {
    let state = request.state_at(app.now());
    let held = request.held();
    let (kind, what, cluster) = match &request.subject {
        Subject::Request(held) => (
            "request",
            held.kubectl.clone(),
            Some(held.sort.cluster.clone()),
        ),
        Subject::Grant(terms) => (
            "grant",
            format!("{} for {}", terms.words(), terms.duration),
            terms.cluster.clone(),
        ),
    };
    let own = request.requester.id == caller.who.identity().id;
    let waits = matches!(state, State::Waiting);
    AccessEntry {
        id: request.id,
        state: state.name().to_owned(),
        requester: request.requester.name.clone(),
        source: request.requester.source.clone(),
        kind: kind.to_owned(),
        what,
        cluster,
        risk: request.risk.as_str().to_owned(),
        risk_meaning: request.risk.meaning().to_owned(),
        ticket: request.ticket.clone(),
        reason: request.reason.clone(),
        policies: request.policies.clone(),
        approvers: request.approvers.clone(),
        quorum: request.quorum,
        approved_by: request
            .approvals
            .iter()
            .map(|a| a.by.name.clone())
            .collect(),
        impact: held.and_then(|h| h.impact.clone()),
        command: held
            .filter(|h| h.invocation.is_some())
            .map(|h| h.sort.words()),
        invocation: held.and_then(|h| h.invocation.clone()),
        group: held.and_then(|h| group(request.requester.session, h)),
        request: held.map(|h| h.request),
        digest: digest(request),
        function: held.and_then(|h| h.function.clone()),
        created: request.created,
        expires: request.expires,
        outcome: outcome(&state),
        own,
        may_answer: waits && may_answer(app, caller, request),
        url: format!("{}/r/{}", app.settings.public_url, request.id),
    }
}

/// What requests of one client that names no command have in common; it says nothing about the session.
fn group(session: SessionId, held: &HeldRequest) -> Option<String> {
    let client = held.client.as_ref()?;
    let same = (session, client, &held.sort);
    let digest = sha256_hex(&serde_json::to_vec(&same).ok()?);
    Some(digest.chars().take(16).collect())
}

fn outcome(state: &State) -> String {
    match state {
        State::Denied { by, reason, .. } => format!("{by}: {reason}"),
        State::Withdrawn { why, .. } => why.clone(),
        State::Waiting | State::Approved { .. } | State::Expired => String::new(),
    }
}

/// What an approval is for: the held request's digest, or one over everything of a grant that is asked
/// for.
pub(crate) fn digest(request: &AccessRequest) -> String {
    match &request.subject {
        Subject::Request(held) => held.digest.clone(),
        Subject::Grant(terms) => {
            let (ticket, reason) = (&request.ticket, &request.reason);
            let asked = (request.requester.id, terms, ticket, reason);
            sha256_hex(&serde_json::to_vec(&asked).unwrap_or_default())
        }
    }
}
