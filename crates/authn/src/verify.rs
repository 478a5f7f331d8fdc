//! Where a credential becomes a verified identity. This is the only file of this crate that makes a
//! [`VerifiedIdentity`]; the session and the person are looked up by the caller for every request.

use std::sync::Arc;

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
    identity: impl Into<Arc<Identity>>,
    now: Timestamp,
) -> Result<VerifiedIdentity, AuthnError> {
    let identity = identity.into();
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
    identity: impl Into<Arc<Identity>>,
    now: Timestamp,
) -> Result<VerifiedIdentity, AuthnError> {
    let identity = identity.into();
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

/// Verifies that a browser's cookie, which the gate knows as one of session `browser_session` until
/// `browser_ends`, proves `session` at `now`.
///
/// # Errors
/// If the session is another's or has ended, the browser was signed out by the time, or the person is
/// not the session's.
pub fn verify_browser(
    browser_session: SessionId,
    browser_ends: Timestamp,
    session: &Session,
    identity: impl Into<Arc<Identity>>,
    now: Timestamp,
) -> Result<VerifiedIdentity, AuthnError> {
    let identity = identity.into();
    belongs(browser_session, session, &identity)?;
    session.check(now).map_err(AuthnError::SessionEnded)?;
    if now >= browser_ends {
        return Err(AuthnError::TokenExpired);
    }
    Ok(VerifiedIdentity::assertion(
        identity,
        session,
        Credential::Browser,
    ))
}

/// Verifies that what was verified before still holds at `now`: the session has not ended, and `identity`
/// is its person as they stand now. The credential is not asked for again: a certificate that was renewed
/// meanwhile ends nothing.
///
/// # Errors
/// If the session has ended, or the person is not the session's.
pub fn verify_again(
    who: &VerifiedIdentity,
    session: &Session,
    identity: impl Into<Arc<Identity>>,
    now: Timestamp,
) -> Result<VerifiedIdentity, AuthnError> {
    let identity = identity.into();
    belongs(who.session(), session, &identity)?;
    session.check(now).map_err(AuthnError::SessionEnded)?;
    Ok(VerifiedIdentity::assertion(
        identity,
        session,
        who.credential(),
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

/// Why a request could not be authenticated: `reason: hint`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", self.reason(), self.hint())]
#[non_exhaustive]
pub enum AuthnError {
    /// Neither certificate nor token.
    NoCredential,
    /// Certificate and token, or several tokens.
    TwoCredentials,
    /// Not a client certificate as this gate issues them.
    ForeignCertificate,
    /// Not a bearer token as this gate issues them.
    ForeignToken,
    /// A token of the right form that the store does not know.
    UnknownToken,
    /// A session that the store does not know.
    UnknownSession,
    /// The person was removed since.
    UnknownPerson,
    /// The certificate's key is not the one that the session was opened with.
    OtherKey,
    /// The session holds no longer.
    SessionEnded(EndReason),
    /// The certificate's time is up; the session's is not.
    CertificateExpired,
    /// The certificate is from the future.
    CertificateNotYetValid,
    /// The token's time is up; the session's may not be.
    TokenExpired,
}

impl AuthnError {
    /// Why, without a full stop and without anything that the client sent.
    pub fn reason(&self) -> String {
        let text = match self {
            Self::NoCredential => "the request shows no credential",
            Self::TwoCredentials => "the request shows two credentials, a gate takes exactly one",
            Self::ForeignCertificate => "the client certificate is not one that this gate issues",
            Self::ForeignToken => "the Authorization header holds no bearer token of this gate",
            Self::UnknownToken => "the bearer token is unknown or has expired",
            Self::UnknownSession => "the session is unknown to this gate",
            Self::UnknownPerson => "the person is unknown to this gate",
            Self::OtherKey => "the certificate is not for the session's key",
            Self::SessionEnded(reason) => return reason.to_string(),
            Self::CertificateExpired => "the client certificate has expired",
            Self::CertificateNotYetValid => "the client certificate is not valid yet",
            Self::TokenExpired => "the bearer token has expired",
        };
        text.to_owned()
    }

    /// What the person can do.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::TwoCredentials => "leave out `--token`",
            Self::CertificateExpired => "run the command again, it is renewed by itself",
            Self::CertificateNotYetValid => "have the gate's clock checked",
            Self::UnknownPerson | Self::SessionEnded(EndReason::PersonRemoved) => {
                "ask the gate's administrator"
            }
            _ => "run `kubestile login`",
        }
    }
}

#[cfg(test)]
mod tests {
    use kubestile_core::Ttl;

    use super::*;
    use crate::tests::{Client, HOUR, NOW, authority, identity, session_id};

    fn shown() -> (ClientCertificate, Session) {
        let client = Client::of(&authority());
        let read = ClientCertificate::read(&client.der()).unwrap();
        (read, client.session)
    }

    fn at(
        certificate: &ClientCertificate,
        session: &Session,
        now: Timestamp,
    ) -> Result<VerifiedIdentity, AuthnError> {
        verify_certificate(certificate, session, identity(), now)
    }

    #[test]
    fn a_certificate_of_a_live_session_is_its_person() {
        let (certificate, session) = shown();
        let who = at(&certificate, &session, NOW).unwrap();
        assert_eq!(who.identity(), &identity());
        assert_eq!(who.session(), session.id);
        assert_eq!(who.credential(), Credential::Certificate);
    }

    #[test]
    fn the_persons_functions_are_those_of_now() {
        let (certificate, session) = shown();
        let mut now_viewer = identity();
        now_viewer.functions = vec!["viewer".parse().unwrap()];
        let who = verify_certificate(&certificate, &session, now_viewer.clone(), NOW).unwrap();
        assert_eq!(who.identity().functions, now_viewer.functions);
    }

    #[test]
    fn an_ended_session_is_nobody_and_says_why() {
        let (certificate, session) = shown();
        let by = EndReason::EndedBy("bo: laptop stolen".to_owned());
        let ended = session.end(by, NOW);
        let error = at(&certificate, &ended, NOW).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the session was ended by bo: laptop stolen: run `kubestile login`"
        );
    }

    #[test]
    fn time_runs_out_for_certificate_and_session() {
        let (certificate, session) = shown();
        let just_before = Timestamp::from_micros(NOW.plus(HOUR).as_micros() - 1);
        assert!(at(&certificate, &session, just_before).is_ok());
        let error = at(&certificate, &session, NOW.plus(HOUR)).unwrap_err();
        assert_eq!(error, AuthnError::CertificateExpired);
        // Both are over: what helps is a login, not a renewal.
        let error = at(&certificate, &session, session.expires).unwrap_err();
        assert_eq!(error, AuthnError::SessionEnded(EndReason::Expired));
        let early = Timestamp::from_secs(NOW.as_secs() - 61);
        let error = at(&certificate, &session, early).unwrap_err();
        assert_eq!(error, AuthnError::CertificateNotYetValid);
    }

    #[test]
    fn a_certificate_is_for_its_own_session_key_and_person() {
        let (certificate, session) = shown();
        let mut other = session.clone();
        other.id = session_id(2);
        assert_eq!(
            at(&certificate, &other, NOW).unwrap_err(),
            AuthnError::UnknownSession
        );
        let mut other = session.clone();
        other.key_digest = "0".repeat(64);
        assert_eq!(
            at(&certificate, &other, NOW).unwrap_err(),
            AuthnError::OtherKey
        );
        let mut other = session.clone();
        other.key_digest.clear();
        assert_eq!(
            at(&certificate, &other, NOW).unwrap_err(),
            AuthnError::OtherKey
        );
        // The same name, given anew to someone else.
        let mut namesake = identity();
        namesake.id = kubestile_core::PersonId::from_uuid(uuid::Uuid::from_u128(8));
        let error = verify_certificate(&certificate, &session, namesake, NOW).unwrap_err();
        assert_eq!(error, AuthnError::UnknownPerson);
    }

    #[test]
    fn a_token_holds_for_its_session_and_time() {
        let (_, session) = shown();
        let check = |id, expires, session: &Session, now| {
            verify_token(id, expires, session, identity(), now).map(|who| who.credential())
        };
        let until = NOW.plus(Ttl::from_secs(60));
        let (id, late) = (session.id, NOW.plus(Ttl::from_secs(60)));
        assert_eq!(check(id, until, &session, NOW), Ok(Credential::BearerToken));
        assert_eq!(
            check(id, until, &session, late),
            Err(AuthnError::TokenExpired)
        );
        assert_eq!(
            check(session_id(2), until, &session, NOW),
            Err(AuthnError::UnknownSession)
        );
        let ended = session.end(EndReason::LoggedOut, NOW);
        assert_eq!(
            check(id, until, &ended, NOW),
            Err(AuthnError::SessionEnded(EndReason::LoggedOut))
        );
    }
}
