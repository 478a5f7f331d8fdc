//! The client's signing request (PKCS #10). Only its public key is ever used: names, extensions and
//! all else that it asks for are not even looked at.

use rcgen::{PublicKeyData, SubjectPublicKeyInfo};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer;

use crate::digest::{hex, sha256};

/// The longest signing request that is read, in bytes of PEM. One with a P-256 key has about 400.
const LIMIT: usize = 8 * 1024;

/// The key of a signing request whose own signature has been verified: whoever made it holds the key.
#[derive(Debug, Clone)]
pub struct CertificateRequest {
    pub(crate) key: SubjectPublicKeyInfo,
    digest: String,
    pem_digest: String,
}

impl CertificateRequest {
    /// Reads one signing request and verifies its signature. Keys are P-256 or Ed25519.
    ///
    /// # Errors
    /// If the text is too long, is not exactly one signing request, has another kind of key, or is
    /// not signed by its key.
    pub fn read(pem: &str) -> Result<Self, RequestError> {
        if pem.len() > LIMIT {
            return Err(RequestError::TooLong);
        }
        let mut sections = CertificateSigningRequestDer::pem_slice_iter(pem.as_bytes());
        let (Some(Ok(der)), None) = (sections.next(), sections.next()) else {
            return Err(RequestError::Malformed);
        };
        let Ok(([], request)) = X509CertificationRequest::from_der(&der) else {
            return Err(RequestError::Malformed);
        };
        let key = public_key(request.certification_request_info.subject_pki.raw)?;
        // The algorithms are checked here because the parser would also verify RSA and SHA-1.
        let signed_with = &request.signature_algorithm.algorithm;
        let fits = if key.algorithm() == &rcgen::PKCS_ED25519 {
            *signed_with == OID_SIG_ED25519
        } else {
            *signed_with == OID_SIG_ECDSA_WITH_SHA256 || *signed_with == OID_SIG_ECDSA_WITH_SHA384
        };
        if !fits || request.verify_signature().is_err() {
            return Err(RequestError::NotSigned);
        }
        Ok(Self {
            digest: key_digest(&key.subject_public_key_info()),
            pem_digest: hex(&sha256(&[pem.as_bytes()])),
            key,
        })
    }

    /// SHA-256 of the key's SubjectPublicKeyInfo, lower-case hex: what a session is bound to.
    pub fn key_digest(&self) -> &str {
        &self.digest
    }

    /// SHA-256 of the request's PEM text as received, lower-case hex: what a renewal proof covers.
    pub(crate) fn pem_digest(&self) -> &str {
        &self.pem_digest
    }
}

/// The public key of a DER SubjectPublicKeyInfo, if it is of a kind that we certify.
pub(crate) fn public_key(spki: &[u8]) -> Result<SubjectPublicKeyInfo, RequestError> {
    let key = SubjectPublicKeyInfo::from_der(spki).map_err(|_| RequestError::KeyKind)?;
    let point = key.der_bytes();
    let fits = if key.algorithm() == &rcgen::PKCS_ECDSA_P256_SHA256 {
        // One form only, uncompressed: a key must not have two digests.
        point.len() == 65 && point.first() == Some(&4)
    } else {
        key.algorithm() == &rcgen::PKCS_ED25519 && point.len() == 32
    };
    if fits {
        Ok(key)
    } else {
        Err(RequestError::KeyKind)
    }
}

/// SHA-256 of a DER SubjectPublicKeyInfo, lower-case hex.
pub(crate) fn key_digest(spki: &[u8]) -> String {
    hex(&sha256(&[spki]))
}

/// Why a signing request was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// More bytes than a request of ours can have.
    #[error("the certificate signing request is longer than {LIMIT} bytes")]
    TooLong,
    /// Not exactly one PEM block with a PKCS #10 request.
    #[error("the certificate signing request is not exactly one PEM `CERTIFICATE REQUEST`")]
    Malformed,
    /// RSA, another curve, or a key in another form.
    #[error("the key of the certificate signing request must be P-256 or Ed25519")]
    KeyKind,
    /// The signature is not by the key in the request.
    #[error("the certificate signing request is not signed by its own key")]
    NotSigned,
}

#[cfg(test)]
mod tests;
