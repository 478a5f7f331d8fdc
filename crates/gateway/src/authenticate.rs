//! Step 2: who asks. A client certificate of our authority or a bearer token of ours: never both,
//! never neither. Either one only leads to a session, and the session is what is trusted.

use std::sync::Arc;

use http::{HeaderMap, header};
use kubestile_authn::{
    AuthnError, ClientCertificate, Presented, verify_again, verify_certificate, verify_token,
};
use kubestile_core::identity::{Identity, VerifiedIdentity};
use kubestile_core::ids::SessionId;
use kubestile_store::SessionHandle;

use crate::accept::Connection;
use crate::gate::Gate;
use crate::refusal::Refusal;

/// The verified identity behind a request, and its session's handle.
///
/// # Errors
/// 401 with what to do next.
pub fn authenticate(
    gate: &Gate,
    connection: &Connection,
    headers: &HeaderMap,
) -> Result<(VerifiedIdentity, SessionHandle), Refusal> {
    let authorization = headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .map(|v| v.as_bytes());
    match Presented::choose(connection.certificate().cloned(), authorization) {
        Ok(Presented::Certificate(certificate)) => by_certificate(gate, &certificate),
        Ok(Presented::Token(digest)) => by_token(gate, &digest),
        Err(error) => Err(refuse(&error)),
    }
}

/// The same person in the same session, as both stand now.
///
/// # Errors
/// 401 when the session has ended or the person is gone.
pub fn again(gate: &Gate, who: &VerifiedIdentity) -> Result<VerifiedIdentity, Refusal> {
    let handle = session(gate, who.session())?;
    let identity = identity(gate, &handle)?;
    verify_again(who, handle.session(), identity, gate.now()).map_err(|e| refuse(&e))
}

fn by_certificate(
    gate: &Gate,
    certificate: &ClientCertificate,
) -> Result<(VerifiedIdentity, SessionHandle), Refusal> {
    let handle = session(gate, certificate.session)?;
    let identity = identity(gate, &handle)?;
    let who = verify_certificate(certificate, handle.session(), identity, gate.now())
        .map_err(|e| refuse(&e))?;
    Ok((who, handle))
}

fn by_token(gate: &Gate, digest: &[u8; 32]) -> Result<(VerifiedIdentity, SessionHandle), Refusal> {
    let token = gate
        .store
        .token(digest)
        .ok_or_else(|| refuse(&AuthnError::UnknownToken))?;
    let handle = session(gate, token.session)?;
    let identity = identity(gate, &handle)?;
    let who = verify_token(
        token.session,
        token.expires,
        handle.session(),
        identity,
        gate.now(),
    )
    .map_err(|e| refuse(&e))?;
    Ok((who, handle))
}

fn session(gate: &Gate, id: SessionId) -> Result<SessionHandle, Refusal> {
    gate.store
        .session(id)
        .ok_or_else(|| refuse(&AuthnError::UnknownSession))
}

/// The session's person as they stand now: job functions taken away since the login are gone.
fn identity(gate: &Gate, handle: &SessionHandle) -> Result<Arc<Identity>, Refusal> {
    gate.store
        .person(handle.session().identity.id)
        .ok_or_else(|| refuse(&AuthnError::UnknownPerson))
}

fn refuse(error: &AuthnError) -> Refusal {
    Refusal::unauthenticated(&error.to_string())
}
