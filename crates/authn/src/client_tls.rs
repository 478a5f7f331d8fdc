//! The TLS side of a client of the gate: it knows the gate by the gate's own authority, at first
//! contact by that authority's fingerprint alone. The system's authorities play no part.

use std::sync::Arc;

use kubestile_core::Secret;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::digest::{hex, sha256};
use crate::tls::{Clock, Time, TlsError, provider};

/// By what a client knows its gate.
#[derive(Debug, Clone, Copy)]
pub enum GateTrust<'a> {
    /// The gate's authority, PEM, as the login answered it.
    Authority(&'a str),
    /// SHA-256 of the authority's certificate, lower-case hex, as handed over beside a login code:
    /// see [`Authority::fingerprint`](crate::Authority::fingerprint).
    Fingerprint(&'a str),
}

/// A client certificate and its key, both PEM.
#[derive(Debug, Clone, Copy)]
pub struct ClientPair<'a> {
    /// The certificate.
    pub certificate: &'a str,
    /// The private key.
    pub key: &'a Secret<String>,
}

/// The configuration of a client of the gate.
///
/// # Errors
/// If the trust, the certificate or the key is not what it should be.
pub fn client_tls(
    trust: GateTrust<'_>,
    shown: Option<ClientPair<'_>>,
    clock: Clock,
) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        GateTrust::Authority(pem) => verifier_of(authority(pem)?, &provider)?,
        GateTrust::Fingerprint(text) => Arc::new(Pinned {
            fingerprint: fingerprint(text)?,
            provider: provider.clone(),
        }),
    };
    // `dangerous` because what is not verified is not safe; both of these verify.
    let builder = ClientConfig::builder_with_details(provider, Arc::new(Time(clock)))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|e| TlsError::new(&e))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some(pair) = shown else {
        return Ok(builder.with_no_client_auth());
    };
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes())
        .map_err(|_| TlsError::new(&"the client certificate is not a PEM certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(pair.key.expose().as_bytes())
        .map_err(|_| TlsError::new(&"the client key is not a PEM private key"))?;
    builder
        .with_client_auth_cert(vec![certificate], key)
        .map_err(|e| TlsError::new(&e))
}

fn authority(pem: &str) -> Result<CertificateDer<'static>, TlsError> {
    let mut sections = CertificateDer::pem_slice_iter(pem.as_bytes());
    match (sections.next(), sections.next()) {
        (Some(Ok(certificate)), None) => Ok(certificate),
        _ => Err(TlsError::new(
            &"the gate's authority is not exactly one PEM certificate",
        )),
    }
}

fn fingerprint(text: &str) -> Result<String, TlsError> {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() == 64 && text.bytes().all(digit) {
        Ok(text.to_owned())
    } else {
        Err(TlsError::new(
            &"the gate's fingerprint must be 64 lower-case hex digits",
        ))
    }
}

/// Verifies names, time and signatures below this one authority.
fn verifier_of(
    authority: CertificateDer<'static>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority).map_err(|e| TlsError::new(&e))?;
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|e| TlsError::new(&e))
}

/// Takes the authority from the gate's own chain, if it is the one with the fingerprint, and then
/// verifies as if it had been known before. Anybody can show the authority's certificate; only its
/// key can have signed the gate's.
#[derive(Debug)]
struct Pinned {
    fingerprint: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates
            .iter()
            .find(|certificate| hex(&sha256(&[certificate])) == self.fingerprint)
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        verifier_of(authority.clone().into_owned(), &self.provider)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?
            .verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests;
