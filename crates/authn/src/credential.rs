//! Which credential a request shows: exactly one of a client certificate and a bearer token.

use rustls_pki_types::CertificateDer;

use crate::certificate::ClientCertificate;
use crate::token;
use crate::verify::AuthnError;

/// What a request showed, read but not yet verified against a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented {
    /// A client certificate.
    Certificate(ClientCertificate),
    /// The digest of a bearer token.
    Token([u8; 32]),
}

impl Presented {
    /// From the certificate of the connection and all `Authorization` header values of the request.
    ///
    /// # Errors
    /// [`AuthnError::NoCredential`] for neither, [`AuthnError::TwoCredentials`] for both or for
    /// several `Authorization` headers, and what the reading of either gives.
    pub fn from_request<'a>(
        certificate: Option<&CertificateDer<'_>>,
        authorization: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, AuthnError> {
        let certificate = certificate.map(|der| ClientCertificate::read(der));
        Self::choose(certificate, authorization)
    }

    /// As [`Presented::from_request`], for a listener that has read the connection's certificate
    /// once, when the connection was made.
    ///
    /// # Errors
    /// As [`Presented::from_request`].
    pub fn choose<'a>(
        certificate: Option<Result<ClientCertificate, AuthnError>>,
        authorization: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, AuthnError> {
        let mut authorization = authorization.into_iter();
        match (certificate, authorization.next(), authorization.next()) {
            (None, None, _) => Err(AuthnError::NoCredential),
            (Some(certificate), None, _) => Ok(Self::Certificate(certificate?)),
            (None, Some(value), None) => bearer(value).map(Self::Token),
            _ => Err(AuthnError::TwoCredentials),
        }
    }
}

/// The token of an `Authorization: Bearer …` value: the scheme in any case (RFC 9110 §11.1), one
/// space, the token, nothing else.
fn bearer(value: &[u8]) -> Result<[u8; 32], AuthnError> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = value
        .split_at_checked(SCHEME.len())
        .ok_or(AuthnError::ForeignToken)?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(AuthnError::ForeignToken);
    }
    std::str::from_utf8(token)
        .ok()
        .and_then(token::digest)
        .ok_or(AuthnError::ForeignToken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{Client, authority};

    fn present(
        certificate: Option<&CertificateDer<'_>>,
        headers: &[&str],
    ) -> Result<Presented, AuthnError> {
        Presented::from_request(certificate, headers.iter().map(|h| h.as_bytes()))
    }

    #[test]
    fn exactly_one_credential_is_taken() {
        let der = Client::of(&authority()).der();
        let (text, digest) = token::new(&[1; 32]);
        let header = format!("Bearer {}", text.expose());
        assert!(matches!(
            present(Some(&der), &[]),
            Ok(Presented::Certificate(_))
        ));
        assert_eq!(present(None, &[&header]), Ok(Presented::Token(digest)));
        assert_eq!(present(None, &[]), Err(AuthnError::NoCredential));
        for two in [
            present(Some(&der), &[&header]),
            present(None, &[&header, &header]),
        ] {
            assert_eq!(two, Err(AuthnError::TwoCredentials));
        }
        // Not even one that is none beside one that is.
        assert_eq!(present(Some(&der), &[""]), Err(AuthnError::TwoCredentials));
        assert_eq!(
            present(Some(&der), &["Basic eDp5"]),
            Err(AuthnError::TwoCredentials)
        );
    }

    #[test]
    fn only_our_bearer_tokens_are_tokens() {
        let (text, digest) = token::new(&[1; 32]);
        let text = text.expose();
        assert_eq!(
            present(None, &[&format!("bEARER {text}")]),
            Ok(Presented::Token(digest))
        );
        for bad in [
            String::new(),
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
            format!("Bearer  {text}"),
            format!("Bearer {text} "),
            format!("Bearer\t{text}"),
            format!("Basic {text}"),
            format!("Token  {text}"),
            text.clone(),
            "Bearer eyJhbGciOiJub25lIn0.e30.".to_owned(),
        ] {
            assert_eq!(
                present(None, &[&bad]),
                Err(AuthnError::ForeignToken),
                "{bad}"
            );
        }
        assert_eq!(
            Presented::from_request(None, [b"Bearer kst_\xff".as_slice()]),
            Err(AuthnError::ForeignToken)
        );
    }
}
