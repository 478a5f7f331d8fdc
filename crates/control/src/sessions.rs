//! Sessions: who am I, which are there, end one.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use kubestile_core::session::{EndReason, Session};
use kubestile_core::{PersonId, SessionId};

use crate::api::{Empty, EndAnswer, EndRequest, SessionEntry, SessionList, WhoAmI};
use crate::caller::Caller;
use crate::error::ApiError;
use crate::journal::{LOCAL_ADMINISTRATOR, words};
use crate::json::{Body, Segment};
use crate::state::App;

/// As many sessions as one answer lists.
const LIST_LIMIT: usize = 2_000;

/// `GET /v1/whoami`.
pub(crate) async fn whoami(caller: Caller) -> Json<WhoAmI> {
    let who = &caller.who;
    let identity = who.identity();
    Json(WhoAmI {
        person: identity.name.clone(),
        id: identity.id,
        kind: identity.kind,
        functions: identity.functions.clone(),
        groups: identity.groups.clone(),
        session: who.session(),
        assurance: who.assurance(),
        credential: who.credential(),
        session_created: who.session_created(),
        session_expires: who.session_expires(),
        source: caller.from.to_string(),
    })
}

/// `GET /v1/sessions`: one's own, or with `?all` everybody's for whoever has the job function
/// `security`.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<SessionList>, ApiError> {
    let query = query.unwrap_or_default();
    let all = query
        .split('&')
        .any(|pair| matches!(pair, "all" | "all=" | "all=true"));
    if all && !caller.is_security() {
        let text = "other people's sessions are shown only to the job function `security`";
        let refusal = ApiError::forbidden(text).hint("leave out `--all`");
        return Err(caller.refused(&app, refusal).await);
    }
    let me = caller.who.identity().id;
    let sessions = app.store.sessions();
    let mine = sessions.iter().filter(|s| all || s.identity.id == me);
    Ok(Json(list_of(&app, mine, Some(caller.who.session()))))
}

/// Admin: `GET /v1/sessions`.
pub(crate) async fn list_all(State(app): State<App>) -> Json<SessionList> {
    Json(list_of(&app, app.store.sessions().iter(), None))
}

fn list_of<'a>(
    app: &App,
    mut sessions: impl Iterator<Item = &'a Arc<Session>>,
    current: Option<SessionId>,
) -> SessionList {
    let now = app.now();
    let entry = |session: &Arc<Session>| SessionEntry {
        id: session.id,
        person: session.identity.name.clone(),
        client: session.client.clone(),
        assurance: session.assurance,
        created: session.created,
        expires: session.expires,
        ended: session.check(now).err().map(|reason| reason.to_string()),
        current: current == Some(session.id),
    };
    SessionList {
        sessions: sessions.by_ref().take(LIST_LIMIT).map(entry).collect(),
        truncated: sessions.next().is_some(),
    }
}

/// `POST /v1/logout`.
pub(crate) async fn logout(
    State(app): State<App>,
    caller: Caller,
    Body(Empty {}): Body<Empty>,
) -> Result<Json<EndAnswer>, ApiError> {
    let session = caller.session.session();
    let detail = format!("the person logged out, from {}", caller.from);
    end_recorded(&app, session, EndReason::LoggedOut, detail).await
}

/// `POST /v1/sessions/{id}/end`: one's own, or anybody's for the job function `security`. Other
/// people's sessions are as if they were not there for everyone else.
pub(crate) async fn end(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment,
    Body(request): Body<EndRequest>,
) -> Result<Json<EndAnswer>, ApiError> {
    let me = caller.who.identity();
    let session = find(&app, &id)?;
    if session.identity.id != me.id && !caller.is_security() {
        return Err(caller.refused(&app, no_such_session()).await);
    }
    let reason = EndReason::EndedBy(by(&me.name, &request.reason));
    let detail = format!("{reason}, from {}", caller.from);
    end_recorded(&app, &session, reason, detail).await
}

/// Admin: `POST /v1/sessions/{id}/end`.
pub(crate) async fn end_any(
    State(app): State<App>,
    Segment(id): Segment,
    Body(request): Body<EndRequest>,
) -> Result<Json<EndAnswer>, ApiError> {
    let session = find(&app, &id)?;
    let reason = EndReason::EndedBy(by(LOCAL_ADMINISTRATOR, &request.reason));
    let detail = reason.to_string();
    end_recorded(&app, &session, reason, detail).await
}

/// Ends a session even if that cannot be recorded: trust that is lost stays lost.
async fn end_recorded(
    app: &App,
    session: &Session,
    reason: EndReason,
    detail: String,
) -> Result<Json<EndAnswer>, ApiError> {
    if session.check(app.now()).is_err() {
        return Ok(Json(EndAnswer { ended: false }));
    }
    let recorded = app.record_session(session, "ended", detail).await;
    let ended = app.store.end_session(session.id, reason, app.now()).await;
    let ended = app.session_changed(session, "ended", ended).await?;
    match recorded {
        Ok(()) => Ok(Json(EndAnswer { ended })),
        Err(error) => Err(error.although("the session has ended, but the log does not say so")),
    }
}

/// Ends the oldest sessions of a person who has more than the settings allow. The oldest and not the
/// newest, since otherwise whoever held all of them would keep the person out.
pub(crate) async fn end_surplus(app: &App, person: PersonId) {
    let most = app.settings.sessions_per_person;
    let now = app.now();
    let sessions = app.store.sessions();
    // The latest login comes first.
    let live = sessions
        .iter()
        .filter(|s| s.identity.id == person && s.check(now).is_ok());
    for session in live.skip(most) {
        let why = format!("the gate: the person has more than {most} sessions");
        let reason = EndReason::EndedBy(why);
        let detail = reason.to_string();
        if let Err(error) = end_recorded(app, session, reason, detail).await {
            tracing::error!(session = %session.id, %error, "a surplus session");
        }
    }
}

fn find(app: &App, id: &str) -> Result<Arc<Session>, ApiError> {
    let id: SessionId = id.parse().map_err(|_| no_such_session())?;
    let handle = app.store.session(id).ok_or_else(no_such_session)?;
    Ok(Arc::clone(handle.session()))
}

fn no_such_session() -> ApiError {
    ApiError::not_found("there is no such session").hint("`kubestile sessions list` shows them")
}

/// `ana@example.com`, or `ana@example.com: laptop stolen`.
fn by(name: &str, reason: &str) -> String {
    match words(reason, 200).as_str() {
        "" => name.to_owned(),
        reason => format!("{name}: {reason}"),
    }
}
