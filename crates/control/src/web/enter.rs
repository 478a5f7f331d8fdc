//! Signing a browser in and out.
//!
//! The terminal, which holds the session, asks for a one-time ticket and opens `/enter#TICKET`. The ticket
//! is in the fragment and not in the query, since a fragment is never sent: no log of a load balancer, no
//! Referer and no link preview gets it, and none can use it up. A script of ours, a file of its own, moves
//! it into the form and out of the address; without scripts the person pastes it. And a person presses the
//! button: otherwise anybody's link could sign a browser in as somebody else, who would then seem to have
//! answered what its owner answers.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, LOCATION, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use kubestile_authn::browser;
use kubestile_core::identity::{Credential, IdentityKind};
use kubestile_core::{Secret, Source};
use serde::Deserialize;

use super::browsers::{TICKET, Ticket};
use super::form::{self, Button, Sent};
use super::visitor::{clear_cookie, set_cookie};
use super::{guard, layout};
use crate::api::{BrowserAnswer, BrowserRequest};
use crate::caller::{Address, Caller, look_up};
use crate::error::ApiError;
use crate::journal::random;
use crate::json::Body;
use crate::state::App;

/// `POST /v1/browser`: a ticket, for whoever holds a session.
pub(crate) async fn offer(
    State(app): State<App>,
    caller: Caller,
    Body(request): Body<BrowserRequest>,
) -> Result<Json<BrowserAnswer>, ApiError> {
    if caller.who.identity().kind != IdentityKind::Person {
        let refusal = ApiError::forbidden("a browser is for a person");
        return Err(caller.refused(&app, refusal).await);
    }
    let now = app.now();
    let session = caller.session.session();
    app.limits()
        .browsers
        .take(session.id, now)
        .map_err(|wait| ApiError::too_many("too many browsers were asked for", wait))?;
    // What proves the session for a while only gives no browser for longer.
    let ends = match caller.who.credential() {
        Credential::Certificate => session.expires,
        Credential::BearerToken | Credential::Browser => session.expires.min(caller.until),
    };
    let (text, digest) = browser::new_ticket(&random()?);
    let expires = ends.min(now.plus(TICKET));
    let ticket = Ticket {
        session: session.id,
        access: request.access,
        expires,
        ends,
    };
    app.browsers()
        .offer(digest, ticket, now)
        .map_err(|full| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, full.to_string()))?;
    let base = app.settings.public_url.trim_end_matches('/');
    Ok(Json(BrowserAnswer {
        url: Secret::new(format!("{base}/enter#{}", text.expose())),
        expires,
    }))
}

/// `GET /enter`.
pub(super) async fn page(State(app): State<App>) -> Response {
    let mut response = layout::enter().into_response(StatusCode::OK);
    let policy = guard::policy_with_script(&app.settings.public_url, "/static/enter.js");
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, policy);
    response
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Enter {
    ticket: String,
}

/// `POST /enter`.
pub(super) async fn enter(
    State(app): State<App>,
    Address(from): Address,
    request: Request,
) -> Response {
    let source = Source::of(from);
    // As with logins: what is refused here is counted only, what gets through and fails is recorded.
    if let Err(wait) = app.limits().logins.take(source, app.now()) {
        let refusal = ApiError::too_many("too many logins have failed", wait);
        return layout::failure(None, &refusal);
    }
    match sign_in(&app, from, request).await {
        Ok(response) => {
            app.limits().logins.give_back(source);
            response
        }
        Err(refusal) => {
            if refusal.status().is_client_error() {
                app.record_refusal(from, None, &refusal).await;
            }
            layout::failure(None, &refusal)
        }
    }
}

async fn sign_in(
    app: &App,
    from: std::net::IpAddr,
    request: Request,
) -> Result<Response, ApiError> {
    guard::from_own_page(request.headers(), &app.settings.public_url)?;
    let fields: Enter = form::read(request, app).await?;
    let shown = Secret::new(fields.ticket);
    // People paste with what stands around it.
    let text = shown.expose().trim().trim_start_matches('#');
    let digest = browser::ticket_digest(text).ok_or_else(used_up)?;
    let now = app.now();
    let ticket = app.browsers().redeem(&digest, now).ok_or_else(used_up)?;
    let (handle, _) = look_up(app, ticket.session)?;
    let (cookie, digest) = browser::new_cookie(&random()?);
    let session = handle.session();
    app.record_session(session, "browser-started", format!("from {from}"))
        .await?;
    let signed_in = app
        .browsers()
        .sign_in(digest, &ticket, now)
        .map_err(|full| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, full.to_string()));
    app.session_changed(session, "browser-started", signed_in)
        .await?;
    let to = match ticket.access {
        Some(access) => format!("/r/{access}"),
        None => "/approvals".to_owned(),
    };
    Ok(go(&to, &set_cookie(cookie.expose())))
}

fn used_up() -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "this sign-in was used already, or its minute is over",
    )
    .hint("`kubestile approvals --open` makes a new one")
}

/// `POST /leave`.
pub(super) async fn leave(State(app): State<App>, sent: Sent<Button>) -> Response {
    let visitor = sent.visitor;
    app.browsers().sign_out(&visitor.digest);
    let caller = &visitor.caller;
    let detail = format!("the person signed out, from {}", caller.from);
    let session = caller.session.session();
    match app.record_session(session, "browser-ended", detail).await {
        Ok(()) => go("/approvals", &clear_cookie()),
        // Trust that is given back stays given back.
        Err(refusal) => {
            let refusal = refusal.although("you are signed out, but the log does not say so");
            layout::failure(None, &refusal)
        }
    }
}

fn go(to: &str, cookie: &str) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in [(LOCATION, to), (SET_COOKIE, cookie)] {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
    (StatusCode::SEE_OTHER, headers).into_response()
}
