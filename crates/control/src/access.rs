//! Access requests: who asks for what, who may answer, and the answers.

mod about;
mod ask;
mod entry;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use kubestile_core::approval::{
    AccessRequest, Answerer, Approval, Choice, Event as Step, State as Stands, Subject,
};
use kubestile_core::event::{Accessed, Event};
use kubestile_core::{AccessId, Ttl};
use kubestile_store::StoreError;

use crate::api::{AccessEntry, AccessList, AccessStats, ApproveRequest, DenyRequest, Empty};
use crate::caller::Caller;
use crate::error::ApiError;
use crate::grants;
use crate::journal::words;
use crate::json::{Body, Segment};
use crate::pipelines;
use crate::state::App;

pub(crate) use about::{Answering, abouts, may_answer, may_answer_terms, may_ask, risk};
pub(crate) use ask::{ask, ask_for, break_glass, rights};
pub(crate) use entry::{digest, entry};

/// As many access requests as one answer lists.
const LIST_LIMIT: usize = 500;
/// As many of the latest are looked at for one answer.
const LOOKED_AT: usize = 5_000;
/// The longest that a list waits for a change.
const LONGEST_WAIT: u64 = 25;
/// How long an approval is remembered: the same request passes again, for clients that repeat it.
const REMEMBERED: Ttl = Ttl::from_secs(120);
/// The same, where the client does not wait and comes again by itself or by hand.
const REMEMBERED_FOR_LATER: Ttl = Ttl::from_secs(600);

/// `GET /v1/access`.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<AccessList>, ApiError> {
    let query = ListQuery::read(query.as_deref().unwrap_or_default())?;
    let mut asked = app.store.asked();
    if let Some(after) = query.after {
        let news = async {
            let changed = asked.wait_for(|seen| *seen != after).await;
            changed.map(|_| ()).ok()
        };
        // Nothing new is an answer too. The session may have ended meanwhile.
        let mut session = caller.session.clone();
        tokio::select! {
            _ = tokio::time::timeout(Duration::from_secs(query.wait), news) => {}
            why = session.ended() => {
                return Err(ApiError::new(http::StatusCode::UNAUTHORIZED, why.to_string()));
            }
        }
    }
    let seen = *asked.borrow_and_update();
    Ok(Json(visible(&app, &caller, &query, seen)))
}

/// The access requests that the caller may see: their own, and those that they may answer.
fn visible(app: &App, caller: &Caller, query: &ListQuery, seen: u64) -> AccessList {
    let me = caller.who.identity().id;
    let now = app.now();
    let mut all = app.store.requests();
    all.retain(|r| !query.mine || r.requester.session == caller.who.session());
    all.retain(|r| !query.waiting || matches!(r.state_at(now), Stands::Waiting));
    // Each is put to the policies: what a list costs is bounded.
    all.truncate(LOOKED_AT);
    let mut shown = all
        .iter()
        .filter(|r| r.requester.id == me || caller.is_security() || may_answer(app, caller, r))
        .map(|r| entry(app, caller, r));
    AccessList {
        requests: shown.by_ref().take(LIST_LIMIT).collect(),
        seen,
        truncated: shown.next().is_some(),
    }
}

/// Those that wait and that the caller may see, the latest first.
pub(crate) fn waiting(app: &App, caller: &Caller) -> AccessList {
    let query = ListQuery {
        waiting: true,
        ..ListQuery::default()
    };
    visible(app, caller, &query, 0)
}

/// What `GET /v1/access` is asked for.
#[derive(Debug, Default)]
struct ListQuery {
    waiting: bool,
    mine: bool,
    after: Option<u64>,
    wait: u64,
}

impl ListQuery {
    fn read(query: &str) -> Result<Self, ApiError> {
        let mut read = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number = || {
                let wrong = || ApiError::bad_request(format!("`{key}` must be a number"));
                value.parse::<u64>().map_err(|_| wrong())
            };
            match key {
                "waiting" => read.waiting = true,
                "mine" => read.mine = true,
                "after" => read.after = Some(number()?),
                "wait" => read.wait = number()?.min(LONGEST_WAIT),
                _ => return Err(ApiError::bad_request("the query cannot be read")),
            }
        }
        Ok(read)
    }
}

/// `GET /v1/access/{id}`.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<Json<AccessEntry>, ApiError> {
    let request = find(&app, &caller, &id)?;
    Ok(Json(entry(&app, &caller, &request)))
}

/// `POST /v1/access/{id}/approve`.
pub(crate) async fn approve(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    Body(request): Body<ApproveRequest>,
) -> Result<Json<AccessEntry>, ApiError> {
    let approved = approve_as(&app, &caller, &id, &request).await?;
    Ok(Json(entry(&app, &caller, &approved)))
}

/// Approves as the caller, if they may: for exactly the digest that they were shown.
pub(crate) async fn approve_as(
    app: &App,
    caller: &Caller,
    id: &str,
    answer: &ApproveRequest,
) -> Result<Arc<AccessRequest>, ApiError> {
    let request = find(app, caller, id)?;
    if answer.digest != digest(&request) {
        let text = "what was approved is not what is asked for";
        return Err(ApiError::new(http::StatusCode::CONFLICT, text)
            .hint("look at it again: `kubestile approvals show`"));
    }
    check_answerer(app, caller, &request).await?;
    let choice = match answer.command_seconds {
        None => Choice::Request,
        Some(secs) => Choice::Command(Ttl::from_secs(secs)),
    };
    let waits = request.held().is_none_or(|h| h.waits);
    let step = Step::Approve {
        approval: Approval {
            by: answerer(caller),
            at: app.now(),
            choice: choice.clone(),
        },
        remembered: if waits {
            REMEMBERED
        } else {
            REMEMBERED_FOR_LATER
        },
    };
    let change = |next: &AccessRequest| match next.state {
        Stands::Approved { .. } => "approved",
        _ => "approved in part",
    };
    let approved = take_step(app, caller, request.id, step, change, choice.to_string()).await?;
    if let (Subject::Grant(_), Stands::Approved { .. }) = (&approved.subject, &approved.state) {
        // A pipeline without a session comes again for it.
        if !pipelines::comes_again(app, &approved) {
            grants::start_approved(app, &approved).await?;
        }
    }
    Ok(approved)
}

/// `POST /v1/access/{id}/deny`.
pub(crate) async fn deny(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    Body(request): Body<DenyRequest>,
) -> Result<Json<AccessEntry>, ApiError> {
    let denied = deny_as(&app, &caller, &id, &request.reason).await?;
    Ok(Json(entry(&app, &caller, &denied)))
}

/// Denies as the caller, if they may.
pub(crate) async fn deny_as(
    app: &App,
    caller: &Caller,
    id: &str,
    reason: &str,
) -> Result<Arc<AccessRequest>, ApiError> {
    let reason = words(reason, 300);
    if reason.is_empty() {
        return Err(ApiError::bad_request(
            "a denial says why: the requester is shown it",
        ));
    }
    let request = find(app, caller, id)?;
    check_answerer(app, caller, &request).await?;
    let step = Step::Deny {
        by: answerer(caller),
        reason: reason.clone(),
    };
    take_step(app, caller, request.id, step, |_| "denied", reason).await
}

/// `POST /v1/access/{id}/withdraw`: one's own.
pub(crate) async fn withdraw(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    Body(Empty {}): Body<Empty>,
) -> Result<Json<AccessEntry>, ApiError> {
    let request = find(&app, &caller, &id)?;
    if request.requester.id != caller.who.identity().id {
        let refusal = ApiError::forbidden("only whoever asked takes a request back")
            .hint("`kubestile deny` answers it");
        return Err(caller.refused(&app, refusal).await);
    }
    let why = "the requester took it back".to_owned();
    let step = Step::Withdraw { why: why.clone() };
    let withdrawn = take_step(&app, &caller, request.id, step, |_| "withdrawn", why).await?;
    Ok(Json(entry(&app, &caller, &withdrawn)))
}

/// `GET /v1/access/stats`.
pub(crate) async fn stats(State(app): State<App>, _caller: Caller) -> Json<AccessStats> {
    let now = app.now();
    let all = app.store.requests();
    let count = |name: &str| {
        all.iter()
            .filter(|r| r.state_at(now).name() == name)
            .count()
    };
    let mut waits: Vec<i64> = all
        .iter()
        .filter_map(|r| match &r.state {
            Stands::Approved { at, .. } | Stands::Denied { at, .. } => {
                Some(at.since(r.created).as_secs())
            }
            _ => None,
        })
        .collect();
    waits.sort_unstable();
    let at = |share: usize| {
        let index = (waits.len() * share).div_ceil(100).saturating_sub(1);
        waits.get(index).copied().unwrap_or(0)
    };
    Json(AccessStats {
        asked: all.len(),
        approved: count("approved"),
        denied: count("denied"),
        expired: count("expired"),
        withdrawn: count("withdrawn"),
        waiting: count("waiting"),
        wait_p50_seconds: at(50),
        wait_p90_seconds: at(90),
    })
}

/// Writes a step down, then takes it. What is written but then does not apply any more, because somebody
/// was faster, is said to have failed.
async fn take_step(
    app: &App,
    caller: &Caller,
    id: AccessId,
    step: Step,
    change: impl Fn(&AccessRequest) -> &'static str,
    detail: String,
) -> Result<Arc<AccessRequest>, ApiError> {
    let now = app.now();
    let next = app.store.try_change(id, step.clone(), now)?;
    let by = caller.who.identity().name.clone();
    let mut written = Accessed::new(change(&next), &by, &next);
    written.session = Some(caller.who.session());
    written.detail = detail;
    app.record(Event::Access(Box::new(written.clone()))).await?;
    let done = app.store.change_request(id, step, now).await;
    if let Err(error) = &done {
        written.change = format!("{}: failed", written.change);
        written.detail = error.to_string();
        if let Err(error) = app.record(Event::Access(Box::new(written))).await {
            tracing::error!(%id, %error, "the log says that this was answered, and it failed");
        }
    }
    Ok(done?)
}

/// The request of this id, if the caller may see it; else it is as if it were not there.
pub(crate) fn find(app: &App, caller: &Caller, id: &str) -> Result<Arc<AccessRequest>, ApiError> {
    let unknown =
        || ApiError::not_found("there is no such request").hint("`kubestile approvals` shows them");
    let id: AccessId = id.parse().map_err(|_| unknown())?;
    let handle = app.store.request(id).ok_or_else(unknown)?;
    let request = handle.current();
    let sees = request.requester.id == caller.who.identity().id
        || caller.is_security()
        || may_answer(app, caller, &request);
    sees.then_some(request).ok_or_else(unknown)
}

/// Whether the caller may answer a request, by policy; that it is not their own is the state machine's.
async fn check_answerer(
    app: &App,
    caller: &Caller,
    request: &AccessRequest,
) -> Result<(), ApiError> {
    if may_answer(app, caller, request) {
        return Ok(());
    }
    let own = request.requester.id == caller.who.identity().id;
    let refusal = match own {
        true => ApiError::forbidden("nobody answers what they ask for themselves"),
        false => ApiError::forbidden("no policy permits you to answer this request"),
    };
    let who = request.approvers.join(" or ");
    Err(caller
        .refused(app, refusal.hint(format!("{who} may answer it")))
        .await)
}

fn answerer(caller: &Caller) -> Answerer {
    let identity = caller.who.identity();
    Answerer {
        id: identity.id,
        name: identity.name.clone(),
        session: caller.who.session(),
        key_digest: caller.session.session().key_digest.clone(),
    }
}

/// Writes down what expired by itself, and forgets what is old. To be called every second or so.
///
/// # Errors
/// If the store or the log fails.
pub(crate) async fn settle(app: &App) -> Result<(), ApiError> {
    let now = app.now();
    let late = |r: &Arc<AccessRequest>| {
        matches!(r.state, Stands::Waiting) && matches!(r.state_at(now), Stands::Expired)
    };
    for request in app.store.requests().iter().filter(|r| late(r)) {
        match app.store.change_request(request.id, Step::Tick, now).await {
            Ok(expired) => {
                let written = Accessed::new("expired", "the gate", &expired);
                app.record(Event::Access(Box::new(written))).await?;
            }
            Err(StoreError::UnknownRequest(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    grants::settle(app).await
}
