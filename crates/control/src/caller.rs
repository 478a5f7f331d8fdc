//! Who calls: from the peer that the listener has put beside the request, verified against the
//! session as it stands now.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use kubestile_authn::{
    AuthnError, PeerAddress, PeerCertificate, Presented, verify_browser, verify_certificate,
    verify_token,
};
use kubestile_core::event::Actor;
use kubestile_core::{Identity, SessionId, Timestamp, VerifiedIdentity};
use kubestile_store::SessionHandle;

use crate::error::ApiError;
use crate::journal::words;
use crate::state::App;

/// The address that a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address(pub(crate) IpAddr);

impl FromRequestParts<App> for Address {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, ApiError> {
        let address = parts.extensions.get::<PeerAddress>();
        address
            .map(|peer| Self(peer.0.ip().to_canonical()))
            .ok_or_else(not_wired)
    }
}

/// A verified caller.
pub(crate) struct Caller {
    pub(crate) who: VerifiedIdentity,
    pub(crate) session: SessionHandle,
    pub(crate) from: IpAddr,
    /// Until when what was shown proves the session by itself: a certificate is renewed while the session
    /// lasts, a token is not.
    pub(crate) until: Timestamp,
    user_agent: String,
}

impl Caller {
    /// Whoever sits at a browser that was signed in for `session` until `ends`.
    pub(crate) fn at_browser(
        app: &App,
        headers: &HeaderMap,
        from: IpAddr,
        (session, ends): (SessionId, Timestamp),
    ) -> Result<Self, AuthnError> {
        let (handle, identity) = look_up(app, session)?;
        let who = verify_browser(session, ends, handle.session(), identity, app.now())?;
        Ok(Self {
            who,
            session: handle,
            from,
            until: ends,
            user_agent: user_agent(headers),
        })
    }

    /// A refusal of something that this caller may not do, once it is recorded.
    pub(crate) async fn refused(&self, app: &App, refusal: ApiError) -> ApiError {
        let actor = Actor::new(&self.who, self.from, &self.user_agent);
        app.record_refusal(self.from, Some(actor), &refusal).await;
        refusal
    }

    /// Whether they may see and end other people's sessions: the job function `security`, everywhere.
    pub(crate) fn is_security(&self) -> bool {
        self.who.identity().functions.iter().any(|function| {
            function.role() == "security"
                && function.namespace().is_none()
                && function.cluster().is_none()
        })
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Address(from) = Address::from_request_parts(parts, app).await?;
        // A listener that forgot to say so must not look like a client without a certificate.
        let PeerCertificate(der) = parts
            .extensions
            .get::<PeerCertificate>()
            .ok_or_else(not_wired)?;
        let certificate = der.as_ref().map(|der| app.authority.read_client(der));
        let authorization = parts.headers.get_all(AUTHORIZATION);
        let authorization = authorization.iter().map(|value| value.as_bytes());
        let presented = Presented::choose(certificate, authorization)?;
        let (who, session, until) = verify(app, &presented)?;
        Ok(Self {
            who,
            session,
            from,
            until,
            user_agent: user_agent(&parts.headers),
        })
    }
}

fn user_agent(headers: &HeaderMap) -> String {
    let value = headers.get(USER_AGENT).and_then(|v| v.to_str().ok());
    words(value.unwrap_or_default(), 256)
}

fn verify(
    app: &App,
    presented: &Presented,
) -> Result<(VerifiedIdentity, SessionHandle, Timestamp), AuthnError> {
    let now = app.now();
    match presented {
        Presented::Certificate(certificate) => {
            let (session, identity) = look_up(app, certificate.session)?;
            let who = verify_certificate(certificate, session.session(), identity, now)?;
            let until = session.session().expires;
            Ok((who, session, until))
        }
        Presented::Token(digest) => {
            let token = app.store.token(digest).ok_or(AuthnError::UnknownToken)?;
            let (session, identity) = look_up(app, token.session)?;
            let who = verify_token(
                token.session,
                token.expires,
                session.session(),
                identity,
                now,
            )?;
            Ok((who, session, token.expires))
        }
    }
}

/// A session, and its person as they stand now.
pub(crate) fn look_up(app: &App, id: SessionId) -> Result<(SessionHandle, Identity), AuthnError> {
    let handle = app.store.session(id).ok_or(AuthnError::UnknownSession)?;
    // The end of the session says more than the absence of a person who was removed with it.
    let session = handle.session();
    session.check(app.now()).map_err(AuthnError::SessionEnded)?;
    let person = app
        .store
        .person(session.identity.id)
        .ok_or(AuthnError::UnknownPerson)?;
    Ok((handle, Identity::clone(&person)))
}

/// The listener did not say where a request came from: nobody is let through.
fn not_wired() -> ApiError {
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the listener does not say who is on the other side",
    )
}
