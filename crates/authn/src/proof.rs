//! The proof that a renewal comes from the holder of the enrolled key, now.
//!
//! A certificate may be renewed after it has expired, so the handshake cannot prove the key. The
//! client signs `kubestile renewal v1\n<session>\n<seconds>\n<SHA-256 of the CSR, hex>\n` instead.
//! Within the window the same proof can be shown twice; all it gains is another certificate for a key
//! that only the client holds.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kubestile_core::{SessionId, Timestamp};
use rcgen::PublicKeyData;

use crate::certificate_request::CertificateRequest;
use crate::client_key::{ClientKey, ClientKeyError};
use crate::digest::{hex, sha256};

/// How far the client's clock may be off, in seconds, either way.
pub const WINDOW_SECS: u64 = 300;

/// The longest signature, in base64 characters; a P-256 one has at most 96.
const LIMIT: usize = 128;

/// Signs a renewal of `session` with `csr_pem` at `now`, on the client; base64.
///
/// # Errors
/// [`ClientKeyError::Crypto`] if signing fails.
pub fn sign(
    key: &ClientKey,
    session: SessionId,
    now: Timestamp,
    csr_pem: &str,
) -> Result<String, ClientKeyError> {
    let digest = hex(&sha256(&[csr_pem.as_bytes()]));
    let signature = key.sign(message(session, now.as_secs(), &digest).as_bytes())?;
    Ok(STANDARD.encode(signature))
}

/// Verifies that the holder of `enrolled_key` (the digest that the session is bound to) signed this
/// renewal, not longer ago than the window allows. `timestamp` is the client's, in seconds since
/// the Unix epoch.
///
/// # Errors
/// If the request is for another key than the enrolled one, the time is off, or the signature is not
/// by that key over exactly this session, time and request.
pub fn verify(
    request: &CertificateRequest,
    enrolled_key: &str,
    session: SessionId,
    timestamp: i64,
    signature: &str,
    now: Timestamp,
) -> Result<(), ProofError> {
    if request.key_digest() != enrolled_key {
        return Err(ProofError::OtherKey);
    }
    if now.as_secs().abs_diff(timestamp) > WINDOW_SECS {
        return Err(ProofError::OutsideWindow);
    }
    let signature = Some(signature)
        .filter(|text| text.len() <= LIMIT)
        .and_then(|text| STANDARD.decode(text).ok())
        .ok_or(ProofError::BadSignature)?;
    let message = message(session, timestamp, request.pem_digest());
    let point = request.key.der_bytes();
    let verified = if request.key.algorithm() == &rcgen::PKCS_ED25519 {
        UnparsedPublicKey::new(&ED25519, point).verify(message.as_bytes(), &signature)
    } else {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
            .verify(message.as_bytes(), &signature)
    };
    verified.map_err(|_| ProofError::BadSignature)
}

fn message(session: SessionId, secs: i64, csr_digest: &str) -> String {
    format!("kubestile renewal v1\n{session}\n{secs}\n{csr_digest}\n")
}

/// Why a renewal proof was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The certificate is asked for a key that the session was not opened with.
    #[error("the renewal is for another key than the session's: run `kubestile login` again")]
    OtherKey,
    /// The client's clock and ours disagree, or the proof is an old one.
    #[error("the renewal's time is more than {WINDOW_SECS} s off: check this machine's clock")]
    OutsideWindow,
    /// Not a signature by the enrolled key over this renewal.
    #[error("the renewal is not signed by the session's key: run `kubestile login` again")]
    BadSignature,
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ED25519};

    use super::*;
    use crate::tests::{NOW, session_id};

    struct Renewal {
        key: ClientKey,
        csr: String,
        proof: String,
    }

    fn renewal(key: ClientKey) -> Renewal {
        let csr = key.csr_pem().unwrap();
        let proof = sign(&key, session_id(1), NOW, &csr).unwrap();
        Renewal { key, csr, proof }
    }

    fn check(renewal: &Renewal, session: u128, secs: i64, now: i64) -> Result<(), ProofError> {
        let request = CertificateRequest::read(&renewal.csr).unwrap();
        let enrolled = renewal.key.csr_pem().unwrap();
        let enrolled = CertificateRequest::read(&enrolled).unwrap();
        verify(
            &request,
            enrolled.key_digest(),
            session_id(session),
            secs,
            &renewal.proof,
            Timestamp::from_secs(now),
        )
    }

    #[test]
    fn the_holder_of_the_key_can_renew() {
        let now = NOW.as_secs();
        let p256 = renewal(ClientKey::generate().unwrap());
        assert_eq!(check(&p256, 1, now, now), Ok(()));
        let ed = KeyPair::generate_for(&PKCS_ED25519)
            .unwrap()
            .serialize_pem();
        let ed = ClientKey::from_pem(&kubestile_core::Secret::new(ed)).unwrap();
        assert_eq!(check(&renewal(ed), 1, now, now), Ok(()));
    }

    #[test]
    fn a_proof_is_for_one_session_one_time_and_one_request() {
        let now = NOW.as_secs();
        let mut shown = renewal(ClientKey::generate().unwrap());
        assert_eq!(check(&shown, 2, now, now), Err(ProofError::BadSignature));
        assert_eq!(
            check(&shown, 1, now + 1, now),
            Err(ProofError::BadSignature)
        );
        // The same key and another request, as the text that was signed differs.
        shown.csr = format!("\n{}", shown.csr);
        assert_eq!(check(&shown, 1, now, now), Err(ProofError::BadSignature));
    }

    #[test]
    fn a_proof_grows_old() {
        let now = NOW.as_secs();
        let shown = renewal(ClientKey::generate().unwrap());
        assert_eq!(check(&shown, 1, now, now + 300), Ok(()));
        assert_eq!(check(&shown, 1, now, now - 300), Ok(()));
        assert_eq!(
            check(&shown, 1, now, now + 301),
            Err(ProofError::OutsideWindow)
        );
        assert_eq!(
            check(&shown, 1, now, now - 301),
            Err(ProofError::OutsideWindow)
        );
        assert_eq!(
            check(&shown, 1, i64::MIN, now),
            Err(ProofError::OutsideWindow)
        );
        assert_eq!(
            check(&shown, 1, i64::MAX, now),
            Err(ProofError::OutsideWindow)
        );
    }

    #[test]
    fn another_key_cannot_renew() {
        let now = NOW.as_secs();
        let mut shown = renewal(ClientKey::generate().unwrap());
        let thief = renewal(ClientKey::generate().unwrap());
        shown.csr = thief.csr.clone();
        assert_eq!(check(&shown, 1, now, now), Err(ProofError::OtherKey));
        // A request for the right key (anybody can copy it), signed by the thief's key.
        let mut shown = renewal(ClientKey::generate().unwrap());
        shown.proof = sign(&thief.key, session_id(1), NOW, &shown.csr).unwrap();
        assert_eq!(check(&shown, 1, now, now), Err(ProofError::BadSignature));
        for bad in ["", "AAAA", "%", &"A".repeat(1000)] {
            shown.proof = bad.to_owned();
            assert_eq!(check(&shown, 1, now, now), Err(ProofError::BadSignature));
        }
    }
}
