//! Grants: started, shown, given back, taken away, reviewed.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use kubestile_core::approval::{AccessRequest, Subject};
use kubestile_core::event::{Event, Granted};
use kubestile_core::grant::{GrantEndReason, Origin, Review, Terms};
use kubestile_core::identity::IdentityKind;
use kubestile_core::{AccessId, Grant, GrantId, Identity, SessionId, Timestamp};
use kubestile_store::{GrantChange, StoreError};

use crate::access::{self, Answering};
use crate::api::{
    AskAnswer, AskRequest, DenyRequest, ExtendRequest, GrantEntry, GrantList, ReviewRequest,
};
use crate::caller::Caller;
use crate::error::ApiError;
use crate::journal::{random, words};
use crate::json::{Body, Segment};
use crate::state::App;
use crate::{news, tickets};

/// As many grants as one answer lists.
const LIST_LIMIT: usize = 1_000;

/// A grant that is about to start.
pub(crate) struct New {
    pub(crate) terms: Terms,
    pub(crate) origin: Origin,
    pub(crate) reason: String,
    pub(crate) ticket: Option<String>,
    pub(crate) approvers: Vec<String>,
    pub(crate) access: Option<AccessId>,
    /// Only in this session.
    pub(crate) session: Option<SessionId>,
    /// Not longer than until then, whatever the terms say.
    pub(crate) until: Option<Timestamp>,
}

/// Starts a grant for `holder`: written down first, then in force.
pub(crate) async fn start(app: &App, holder: &Identity, new: New) -> Result<Arc<Grant>, ApiError> {
    let now = app.now();
    let id = match new.access {
        Some(access) => GrantId::of(access),
        None => GrantId::from_random(u64::from_be_bytes(random()?)),
    };
    let ends = now.plus(new.terms.duration);
    let grant = Grant {
        id,
        holder: holder.id,
        holder_name: holder.name.clone(),
        session: new.session,
        origin: new.origin,
        reason: new.reason,
        ticket: new.ticket,
        approvers: new.approvers,
        access: new.access,
        starts: now,
        expires: new.until.map_or(ends, |until| until.min(ends)),
        terms: new.terms,
        ended: None,
        reviewed: None,
    };
    let by = grant.approvers.first().cloned();
    let by = by.unwrap_or_else(|| holder.name.clone());
    record(app, "started", &by, &grant, None).await?;
    let started = app.store.start_grant(grant.clone(), now).await;
    if let Err(error) = &started {
        let why = error.to_string();
        if let Err(error) = record(app, "started: failed", "the gate", &grant, Some(why)).await {
            tracing::error!(%id, %error, "the log says that this grant started, and it did not");
        }
    }
    let started = started?;
    news::grant_started(app, &started);
    Ok(started)
}

/// Starts the grant that an access request asked for, once enough people approved it. Policies are asked
/// again, as they stand now, for the requester as they stand now.
pub(crate) async fn start_approved(
    app: &App,
    request: &AccessRequest,
) -> Result<Arc<Grant>, ApiError> {
    let Subject::Grant(terms) = &request.subject else {
        return Err(ApiError::bad_request("it is no grant that was approved"));
    };
    let gone = |why: String| {
        ApiError::new(
            http::StatusCode::CONFLICT,
            "it is approved, but no grant started",
        )
        .hint(why)
    };
    let (session, holder) = crate::caller::look_up(app, request.requester.session)
        .map_err(|error| gone(format!("{}: {error}", request.requester.name)))?;
    let asks = Answering {
        identity: &holder,
        session: session.session(),
        // Where it was asked from: policies may look at that.
        from: request
            .requester
            .source
            .parse()
            .map_err(|_| gone("it is not known where it was asked from".to_owned()))?,
    };
    let approvals = u8::try_from(request.approvals.len()).unwrap_or(u8::MAX);
    let outcome = access::may_ask(app, &asks, &access::abouts(request), approvals);
    if outcome.name() != "allow" {
        return Err(gone("the policies do not permit it any more".to_owned()));
    }
    if let Some(ticket) = &request.ticket {
        // It may have been closed while the request waited.
        tickets::vouch(app, ticket, &holder.name, terms)
            .await
            .map_err(|error| gone(error.to_string()))?;
    }
    let run = (holder.kind == IdentityKind::Pipeline).then(|| session.session());
    let new = New {
        terms: terms.clone(),
        origin: Origin::Request,
        reason: request.reason.clone().unwrap_or_default(),
        ticket: request.ticket.clone(),
        approvers: request
            .approvals
            .iter()
            .map(|a| a.by.name.clone())
            .collect(),
        access: Some(request.id),
        session: run.map(|session| session.id),
        until: run.map(|session| session.expires),
    };
    start(app, &holder, new).await
}

/// `GET /v1/grants`: one's own, or with `?all` everybody's for the job function `security`.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<GrantList>, ApiError> {
    let query = query.unwrap_or_default();
    let all = query
        .split('&')
        .any(|pair| pair == "all" || pair == "all=true");
    if all && !caller.is_security() {
        let text = "other people's grants are shown only to the job function `security`";
        let refusal = ApiError::forbidden(text).hint("leave out `--all`");
        return Err(caller.refused(&app, refusal).await);
    }
    let me = caller.who.identity().id;
    let grants = app.store.grants();
    let mut shown = grants.iter().filter(|g| all || g.holder == me);
    let entries = shown.by_ref().take(LIST_LIMIT);
    Ok(Json(GrantList {
        grants: entries.map(|g| entry(&app, &caller, g)).collect(),
        truncated: shown.next().is_some(),
    }))
}

/// `GET /v1/grants/{id}`.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<Json<GrantEntry>, ApiError> {
    let grant = find(&app, &caller, &id)?;
    Ok(Json(entry(&app, &caller, &grant)))
}

/// `POST /v1/grants/{id}/revoke`: the holder gives it back; whoever could have approved it, or has the job
/// function `security`, takes it away.
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    Body(request): Body<DenyRequest>,
) -> Result<Json<GrantEntry>, ApiError> {
    let grant = find(&app, &caller, &id)?;
    let me = caller.who.identity();
    let reason = words(&request.reason, 300);
    let why = if grant.holder == me.id {
        GrantEndReason::GivenBack
    } else {
        let by = match reason.as_str() {
            "" => me.name.clone(),
            reason => format!("{}: {reason}", me.name),
        };
        GrantEndReason::RevokedBy(by)
    };
    let ended = end(&app, &grant, why, &me.name).await?;
    Ok(Json(entry(&app, &caller, &ended)))
}

/// Ends a grant even if that cannot be recorded: what is lost stays lost.
pub(crate) async fn end(
    app: &App,
    grant: &Grant,
    why: GrantEndReason,
    by: &str,
) -> Result<Arc<Grant>, ApiError> {
    grant
        .check(app.now())
        .map_err(|why| StoreError::GrantOver { id: grant.id, why })?;
    let recorded = record(app, "ended", by, grant, Some(why.to_string())).await;
    let ended = app
        .store
        .change_grant(grant.id, GrantChange::End(why), app.now())
        .await?;
    news::grant_ended(app, &ended);
    match recorded {
        Ok(()) => Ok(ended),
        Err(error) => Err(error.although("the grant has ended, but the log does not say so")),
    }
}

/// `POST /v1/grants/{id}/extend`: asked for like a new grant with the same terms.
pub(crate) async fn extend(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    Body(request): Body<ExtendRequest>,
) -> Result<Json<AskAnswer>, ApiError> {
    let grant = find(&app, &caller, &id)?;
    if grant.holder != caller.who.identity().id {
        let refusal = ApiError::forbidden("only its holder asks for more of a grant");
        return Err(caller.refused(&app, refusal).await);
    }
    grant
        .check(app.now())
        .map_err(|why| StoreError::GrantOver { id: grant.id, why })?;
    let again = AskRequest {
        role: grant.terms.role.clone(),
        cluster: grant.terms.cluster.clone(),
        namespaces: grant.terms.namespaces.clone(),
        objects: grant.terms.objects.clone(),
        seconds: request.seconds,
        ticket: grant.ticket.clone(),
        reason: grant.reason.clone(),
    };
    access::ask_for(&app, &caller, &again).await.map(Json)
}

/// `POST /v1/grants/{id}/review`: a look back at what nobody approved beforehand.
pub(crate) async fn review(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    Body(request): Body<ReviewRequest>,
) -> Result<Json<GrantEntry>, ApiError> {
    let grant = find(&app, &caller, &id)?;
    let me = caller.who.identity();
    if grant.holder == me.id || !may_review(&app, &caller, &grant) {
        let refusal = ApiError::forbidden("somebody else must look at this grant")
            .hint("whoever may approve such a grant may review it");
        return Err(caller.refused(&app, refusal).await);
    }
    let note = words(&request.note, 500);
    if note.is_empty() {
        return Err(ApiError::bad_request("a review says what was found"));
    }
    record(&app, "reviewed", &me.name, &grant, Some(note.clone())).await?;
    let review = Review {
        by: me.name.clone(),
        at: app.now(),
        note,
    };
    let reviewed = app
        .store
        .change_grant(grant.id, GrantChange::Review(review), app.now())
        .await?;
    Ok(Json(entry(&app, &caller, &reviewed)))
}

/// Whether the caller could have approved such a grant, or looks after everybody's security.
pub(crate) fn may_review(app: &App, caller: &Caller, grant: &Grant) -> bool {
    caller.is_security() || access::may_answer_terms(app, caller, &grant.terms, &grant.holder_name)
}

fn find(app: &App, caller: &Caller, id: &str) -> Result<Arc<Grant>, ApiError> {
    let unknown =
        || ApiError::not_found("there is no such grant").hint("`kubestile grants list` shows them");
    let id: GrantId = id.parse().map_err(|_| unknown())?;
    let grant = app.store.grant(id).ok_or_else(unknown)?;
    let sees = grant.holder == caller.who.identity().id || may_review(app, caller, &grant);
    sees.then_some(grant).ok_or_else(unknown)
}

/// A grant, as the caller sees it.
pub(crate) fn entry(app: &App, caller: &Caller, grant: &Grant) -> GrantEntry {
    let terms = &grant.terms;
    GrantEntry {
        id: grant.id,
        holder: grant.holder_name.clone(),
        role: terms.role.clone(),
        cluster: terms.cluster.clone(),
        namespaces: terms.namespaces.clone(),
        objects: terms.objects.clone(),
        what: terms.words(),
        origin: grant.origin,
        reason: grant.reason.clone(),
        ticket: grant.ticket.clone(),
        approvers: grant.approvers.clone(),
        starts: grant.starts,
        expires: grant.expires,
        ended: grant.check(app.now()).err().map(|why| why.to_string()),
        needs_review: grant.needs_review(),
        own: grant.holder == caller.who.identity().id,
    }
}

/// Writes down the grants that have expired since the last call, and ends those of runs that are over.
pub(crate) async fn settle(app: &App) -> Result<(), ApiError> {
    let now = app.now();
    let lives = |session| {
        let session = app.store.session(session);
        session.is_some_and(|s| s.session().check(now).is_ok())
    };
    let left = |g: &Arc<Grant>| g.check(now).is_ok() && g.session.is_some_and(|s| !lives(s));
    for grant in app.store.grants().iter().filter(|g| left(g)) {
        end(app, grant, GrantEndReason::RunEnded, "the gate").await?;
    }
    let late = |g: &Arc<Grant>| g.ended.is_none() && now >= g.expires;
    for grant in app.store.grants().iter().filter(|g| late(g)) {
        let why = GrantEndReason::Expired;
        record(app, "ended", "the gate", grant, Some(why.to_string())).await?;
        let ended = app
            .store
            .change_grant(grant.id, GrantChange::End(why), now)
            .await?;
        news::grant_ended(app, &ended);
    }
    Ok(())
}

async fn record(
    app: &App,
    change: &str,
    by: &str,
    grant: &Grant,
    detail: Option<String>,
) -> Result<(), ApiError> {
    let mut written = Granted::new(change, by, grant);
    if let Some(detail) = detail {
        written.detail = words(&detail, 500);
    }
    app.record(Event::Grant(Box::new(written))).await
}
