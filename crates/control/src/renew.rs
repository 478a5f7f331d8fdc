//! A renewal: the enrolled key is proved afresh, session and person are looked at afresh.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use kubestile_authn::{AuthnError, CertificateRequest, proof};
use kubestile_core::Source;

use crate::api::{RenewAnswer, RenewRequest};
use crate::caller::{Address, look_up};
use crate::error::ApiError;
use crate::json::Body;
use crate::state::App;

/// `POST /v1/renew`. The certificate of the connection plays no part: it may have expired.
pub(crate) async fn renew(
    State(app): State<App>,
    Address(from): Address,
    Body(request): Body<RenewRequest>,
) -> Result<Json<RenewAnswer>, ApiError> {
    let source = Source::of(from);
    app.limits()
        .renewals
        .take(source, app.now())
        .map_err(|wait| ApiError::too_many("too many renewals have failed", wait))?;
    let result = attempt(&app, from, &request).await;
    match &result {
        Ok(_) => app.limits().renewals.give_back(source),
        Err(refusal) if refusal.status().is_client_error() => {
            app.record_refusal(from, None, refusal).await;
        }
        Err(_) => {}
    }
    result.map(Json)
}

async fn attempt(app: &App, from: IpAddr, request: &RenewRequest) -> Result<RenewAnswer, ApiError> {
    let now = app.now();
    let key = CertificateRequest::read(&request.csr)?;
    let unknown = AuthnError::UnknownSession;
    let handle = app.store.session(request.session).ok_or(unknown)?;
    // The proof first: only the holder of the key learns what became of the session.
    proof::verify(
        &key,
        &handle.session().key_digest,
        request.session,
        request.timestamp,
        &request.proof,
        now,
    )?;
    let (handle, person) = look_up(app, request.session)?;
    let session = handle.session();
    app.record_session(session, "renewed", format!("from {from}"))
        .await?;
    let not_after = session.expires.min(now.plus(app.settings.certificate_ttl));
    let issued = app
        .authority
        .issue_client(&key, &person.name, session.id, now, not_after);
    let issued = app.session_changed(session, "renewed", issued).await?;
    Ok(RenewAnswer {
        certificate: issued.certificate_pem,
        not_after: issued.not_after,
        session_expires: session.expires,
        ca: app.authority.pem(),
    })
}
