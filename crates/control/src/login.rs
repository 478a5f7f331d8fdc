//! A login: one code, one key, one session.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use kubestile_authn::{CertificateRequest, code};
use kubestile_core::session::Session;
use kubestile_core::{Assurance, Identity, PersonId, Source};
use kubestile_store::StoreError;

use crate::api::{LoginAnswer, LoginRequest};
use crate::caller::Address;
use crate::error::ApiError;
use crate::journal::{new_session_id, words};
use crate::json::Body;
use crate::sessions::end_surplus;
use crate::state::App;

/// `POST /v1/login`.
pub(crate) async fn login(
    State(app): State<App>,
    Address(from): Address,
    Body(request): Body<LoginRequest>,
) -> Result<Json<LoginAnswer>, ApiError> {
    let source = Source::of(from);
    // What is refused here is counted only: a flood must not fill the log. What gets through and then
    // fails is recorded, which the same limit bounds.
    app.limits()
        .logins
        .take(source, app.now())
        .map_err(|wait| ApiError::too_many("too many logins have failed", wait))?;
    let result = attempt(&app, from, &request).await;
    match &result {
        Ok(_) => app.limits().logins.give_back(source),
        Err(refusal) if refusal.status().is_client_error() => {
            app.record_refusal(from, None, refusal).await;
        }
        Err(_) => {}
    }
    result.map(Json)
}

async fn attempt(app: &App, from: IpAddr, request: &LoginRequest) -> Result<LoginAnswer, ApiError> {
    // All that can be wrong with the request is looked at before the code is used up.
    let key = CertificateRequest::read(&request.csr)?;
    let digest = code::digest(request.code.expose()).ok_or(StoreError::InvalidCode)?;
    let person = app.store.redeem_code(digest, app.now()).await?;
    let session = new_session(app, &*person_of(app, person)?, &key, &request.client);
    app.record_session(
        &session,
        "started",
        format!("with a login code, from {from}"),
    )
    .await?;
    let answer = start(app, session.clone(), &key).await;
    if let Err(error) = &answer {
        // The log says that it started: it must not stay that way.
        app.record_session(&session, "ended", format!("not started: {error}"))
            .await?;
    } else {
        end_surplus(app, person).await;
    }
    answer
}

fn person_of(app: &App, id: PersonId) -> Result<std::sync::Arc<Identity>, ApiError> {
    // Removed at this very moment: as if the code had never been.
    let person = app.store.person(id).ok_or(StoreError::InvalidCode)?;
    Ok(person)
}

fn new_session(app: &App, person: &Identity, key: &CertificateRequest, client: &str) -> Session {
    let now = app.now();
    Session {
        id: new_session_id(),
        identity: person.clone(),
        assurance: Assurance::Code,
        key_digest: key.key_digest().to_owned(),
        client: words(client, 128),
        created: now,
        expires: now.plus(app.settings.session_ttl),
        ended: None,
    }
}

async fn start(
    app: &App,
    session: Session,
    key: &CertificateRequest,
) -> Result<LoginAnswer, ApiError> {
    let not_after = session
        .expires
        .min(session.created.plus(app.settings.certificate_ttl));
    let issued = app.authority.issue_client(
        key,
        &session.identity.name,
        session.id,
        session.created,
        not_after,
    )?;
    app.store.create_session(session.clone()).await?;
    Ok(LoginAnswer {
        session: session.id,
        person: session.identity.name,
        certificate: issued.certificate_pem,
        not_after: issued.not_after,
        session_expires: session.expires,
        clusters: app.cluster_entries(),
        ca: app.authority.pem(),
    })
}
