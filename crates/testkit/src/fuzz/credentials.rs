//! What somebody shows to prove who they are.

use kubestile_authn::{CertificateRequest, ClientCertificate, Presented, code, proof, token};
use kubestile_core::{SessionId, Timestamp};

/// The request whose renewal is asked for in [`renewal_proof`].
const RENEWED: &str = include_str!("../../../../fuzz/corpus/csr/valid-p256");

/// A client certificate, DER, whose signature nobody has checked yet.
pub(super) fn client_cert(data: &[u8]) -> bool {
    let Ok(certificate) = ClientCertificate::read(data) else {
        return false;
    };
    assert!(is_digest(&certificate.key_digest));
    assert_eq!(ClientCertificate::read(data).ok(), Some(certificate));
    true
}

/// A certificate signing request, PEM.
pub(super) fn csr(data: &[u8]) -> bool {
    let Some(request) = text(data).and_then(|pem| CertificateRequest::read(pem).ok()) else {
        return false;
    };
    assert!(is_digest(request.key_digest()));
    true
}

/// One `Authorization` header a line. Several are never a credential, and a token has one spelling.
pub(super) fn authorization(data: &[u8]) -> bool {
    let values: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let Ok(presented) = Presented::from_request(None, values.iter().copied()) else {
        return false;
    };
    assert_eq!(values.len(), 1, "two Authorization headers were accepted");
    assert_eq!(data.len(), "Bearer kst_".len() + 43);
    let known = text(data)
        .and_then(|t| t.rsplit(' ').next())
        .and_then(token::digest);
    assert!(known.is_some_and(|digest| presented == Presented::Token(digest)));
    true
}

/// A login code as typed. Every spelling that is forgiven is the code without its separators.
pub(super) fn login_code(data: &[u8]) -> bool {
    let Some((typed, digest)) = text(data).and_then(|t| Some((t, code::digest(t)?))) else {
        return false;
    };
    let plain: String = typed.chars().filter(char::is_ascii_alphanumeric).collect();
    assert_eq!(plain.len(), 20, "a code has 20 symbols");
    assert_eq!(code::digest(&plain.to_ascii_lowercase()), Some(digest));
    true
}

/// The signature of a renewal, base64: bytes that somebody chose never verify.
pub(super) fn renewal_proof(data: &[u8]) -> bool {
    let (Ok(request), Some(signature)) = (CertificateRequest::read(RENEWED), text(data)) else {
        return false;
    };
    let session = SessionId::from_uuid(uuid::Uuid::from_u128(1));
    let now = Timestamp::from_secs(1_800_000_000);
    let verified = proof::verify(
        &request,
        request.key_digest(),
        session,
        now.as_secs(),
        signature,
        now,
    );
    assert!(verified.is_err(), "a made-up signature was accepted");
    false
}

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

fn is_digest(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}
