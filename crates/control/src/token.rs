//! Bearer tokens, for clients behind a load balancer that ends TLS. Only a certificate can ask for
//! one, so that a stolen token cannot prolong itself.

use axum::Json;
use axum::extract::State;
use kubestile_authn::token;
use kubestile_core::identity::Credential;

use crate::api::{Empty, TokenAnswer};
use crate::caller::Caller;
use crate::error::ApiError;
use crate::journal::random;
use crate::json::Body;
use crate::state::App;

/// `POST /v1/token`.
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(Empty {}): Body<Empty>,
) -> Result<Json<TokenAnswer>, ApiError> {
    if caller.who.credential() != Credential::Certificate {
        let refusal = ApiError::forbidden("a bearer token cannot ask for another one")
            .hint("show the client certificate");
        return Err(caller.refused(&app, refusal).await);
    }
    let now = app.now();
    let session = caller.session.session();
    app.limits()
        .tokens
        .take(session.id, now)
        .map_err(|wait| ApiError::too_many("too many tokens were asked for", wait))?;
    let ttl = app.settings.token_ttl.min(app.settings.certificate_ttl);
    let expires = session.expires.min(now.plus(ttl));
    let (text, digest) = token::new(&random()?);
    let detail = format!("until {expires}, from {}", caller.from);
    app.record_session(session, "token-issued", detail).await?;
    let added = app.store.add_token(digest, session.id, expires).await;
    app.session_changed(session, "token-issued", added).await?;
    Ok(Json(TokenAnswer {
        token: text,
        expires,
    }))
}
