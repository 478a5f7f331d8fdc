//! Where a credential becomes a verified identity. This is the only file of this crate that makes a
//! [`VerifiedIdentity`]; the session and the person are looked up by the caller for every request.

use kubestile_core::identity::Credential;
use kubestile_core::session::{EndReason, Session};
use kubestile_core::{Identity, SessionId, Timestamp, VerifiedIdentity};
use subtle::ConstantTimeEq;

use crate::certificate::ClientCertificate;

/// Verifies that `certificate` proves `session` at `now`. `identity` is the session's person as they
/// stand now.
///
/// # Errors
/// If the session is another's or has ended, the certificate has expired or is for another key, or
/// the person is not the session's.
pub fn verify_certificate(
    certificate: &ClientCertificate,
    session: &Session,
    identity: Identity,
    now: Timestamp,
) -> Result<VerifiedIdentity, AuthnError> {
    belongs(certificate.session, session, &identity)?;
    let (shown, enrolled) = (
        certificate.key_digest.as_bytes(),
        session.key_digest.as_bytes(),
    );
    if !bool::from(shown.ct_eq(enrolled)) {
        return Err(AuthnError::OtherKey);
    }
    // The session first: "renew" is no advice for one that has ended.
    session.check(now).map_err(AuthnError::SessionEnded)?;
    if now < certificate.not_before {
        return Err(AuthnError::CertificateNotYetValid);
    }
    if now >= certificate.not_after {
        return Err(AuthnError::CertificateExpired);
    }
    Ok(VerifiedIdentity::assertion(
        identity,
        session,
        Credential::Certificate,
    ))
}

/// Verifies that a bearer token, which the store knows as one of session `token_session` until
/// `token_expires`, proves `session` at `now`.
///
/// # Errors
/// If the session is another's or has ended, the token has expired, or the person is not the
/// session's.
pub fn verify_token(
    token_session: SessionId,
    token_expires: Timestamp,
    session: &Session,
    identity: Identity,
    now: Timestamp,
) -> Result<VerifiedIdentity, AuthnError> {
    belongs(token_session, session, &identity)?;
    session.check(now).map_err(AuthnError::SessionEnded)?;
    if now >= token_expires {
        return Err(AuthnError::TokenExpired);
    }
    Ok(VerifiedIdentity::assertion(
        identity,
        session,
        Credential::BearerToken,
    ))
}

/// The credential is for this session, and the person is the session's: a name given anew is
/// someone else.
fn belongs(id: SessionId, session: &Session, identity: &Identity) -> Result<(), AuthnError> {
    if id != session.id {
        return Err(AuthnError::UnknownSession);
    }
    if identity.id != session.identity.id {
        return Err(AuthnError::UnknownPerson);
    }
    Ok(())
}

/// Why a request could not be authenticated. Each says what the person can do; all are 401.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthnError {
    /// Neither certificate nor token.
    #[error("the request shows no credential: run `kubestile login`")]
    NoCredential,
    /// Certificate and token, or several tokens.
    #[error("the request shows two credentials, a gate takes exactly one: leave out `--token`")]
    TwoCredentials,
    /// Not a client certificate as this gate issues them.
    #[error("the client certificate is not one that this gate issues: run `kubestile login`")]
    ForeignCertificate,
    /// Not a bearer token as this gate issues them.
    #[error("the Authorization header holds no bearer token of this gate: run `kubestile login`")]
    ForeignToken,
    /// A token of the right form that the store does not know.
    #[error("the bearer token is unknown or has expired: run `kubestile login`")]
    UnknownToken,
    /// A session that the store does not know.
    #[error("the session is unknown to this gate: run `kubestile login`")]
    UnknownSession,
    /// The person was removed since.
    #[error("the person is unknown to this gate: ask its administrator")]
    UnknownPerson,
    /// The certificate's key is not the one that the session was opened with.
    #[error("the certificate is not for the session's key: run `kubestile login`")]
    OtherKey,
    /// The session holds no longer.
    #[error("{}: run `kubestile login`", ended(.0))]
    SessionEnded(EndReason),
    /// The certificate's time is up; the session's is not.
    #[error("the client certificate has expired: run the command again, it is renewed by itself")]
    CertificateExpired,
    /// The certificate is from the future.
    #[error("the client certificate is not valid yet: check the gate's clock")]
    CertificateNotYetValid,
    /// The token's time is up; the session's may not be.
    #[error("the bearer token has expired: run `kubestile login`")]
    TokenExpired,
}

fn ended(reason: &EndReason) -> String {
    match reason {
        EndReason::Expired => "the session has expired".to_owned(),
        other => format!("the session has ended, {other}"),
    }
}
